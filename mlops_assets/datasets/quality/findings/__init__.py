"""Findings on a data version: one module a kind of finding."""
