"""Findings on a data version: one module per kind of finding."""
