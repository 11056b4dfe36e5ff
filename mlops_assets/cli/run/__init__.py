"""Commands that start, list, compare and import training runs."""
