"""Dagster resources: thin wrappers that hand the core to assets."""
