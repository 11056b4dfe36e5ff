"""What can be wrong with a data version: one module a kind of finding."""
