"""Dagster resources: thin wrappers that hand the core to assets."""

from resources.store import StoreResource

__all__ = ["StoreResource"]
