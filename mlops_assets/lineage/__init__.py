"""Lineage: what a version was made from, and what was made from data or from a file.

Read from the registry and published documents only. Nothing is recorded here, and nothing knows
Dagster.
"""
