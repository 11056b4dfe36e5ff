"""Searching runs: filters in CQL2, the fields they name, suggestions for misspelt ones."""
