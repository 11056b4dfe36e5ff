"""A workspace with two promoted versions of `land`, and a service of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlops_assets.registry import ModelVersion
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.store import Store
from mlops_assets_tests.components.areas.project import (
    MODEL,
    open_workspace,
    promoted,
    trained_workspace,
)
from mlops_assets_tests.training.example_trainers import lifecycle


def twice_promoted(root: Path) -> Path:
    """A workspace whose `land` was promoted twice."""
    trained_workspace(root)
    store = open_workspace(root)
    promoted(store, lifecycle(store, MODEL, recorded=True, depth=2))
    store.registry.close()
    return root


def service(**changes: Any) -> ServiceSpecification:
    """A service of `land`; `changes` replace attributes."""
    declared: dict[str, Any] = {
        "name": "land_service",
        "model": "land",
        "storage": "s3://models/served",
        "url": "http://127.0.0.1:9",
    }
    return ServiceSpecification.model_validate(declared | changes)


def versions(store: Store) -> tuple[ModelVersion, ModelVersion]:
    """The older and the newer version."""
    older, newer = store.registry.model_versions("land")
    return older, newer
