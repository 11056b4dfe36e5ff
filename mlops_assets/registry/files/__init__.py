"""Published files: replaced in one step, read through their checksums.

Identities of landed ones.
"""
