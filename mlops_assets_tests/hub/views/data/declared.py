"""Declared datasets for the tests of views."""

from __future__ import annotations

from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.principals import Principal, Role
from mlops_assets.processing.declared_datasets import DeclaredDatasets
from mlops_assets.store import Store

VIEWER = Principal("vic", frozenset({Role.VIEWER}))


def declaring(*specifications: DatasetSpecification) -> DeclaredDatasets:
    """Datasets whose files land."""
    return DeclaredDatasets({each.name: each for each in specifications}, {}, {})


def viewing(store: Store) -> Store:
    """The store for one who may only read."""
    return store.acting(VIEWER)
