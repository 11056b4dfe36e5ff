"""Attributes of assets that are only for Dagster's graph; nothing of them is stored."""
