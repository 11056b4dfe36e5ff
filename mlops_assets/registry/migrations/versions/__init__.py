"""The revisions of the registry's tables, oldest first.

They turn those of an older release into the present ones.

A revision states the tables as they were then, and never uses those of `schema`, which keep
changing.
"""
