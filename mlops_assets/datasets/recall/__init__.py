"""Recall of a data version: its files are written back, and their bytes verified."""
