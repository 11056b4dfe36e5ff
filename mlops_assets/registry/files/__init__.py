"""Published files: replaced in one step, read through their checksums; identities of landed ones."""
