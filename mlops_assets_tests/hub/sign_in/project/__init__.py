"""A project whose hub has one more page, on which something is done."""
