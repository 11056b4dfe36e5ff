"""A model version as a server has it, and exchanges with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlops_assets.names import Reference
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.sessions.interface import Exchange, ServedVersion, TensorSpec
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import data_version, model_version, new_run

# 2026-11-02, 10:00 UTC
MORNING = 1_793_613_600.0
DAY = "2026-11-02"


def signature(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "view": "patch",
        "shape": [2, 3, 3],
        "features": ["red", "nir"],
        "classes": [{"name": "water", "value": 1}, {"name": "land", "value": 2}],
        "architecture": "network",
    }
    return found | changes


def publish(store: Store, version: str = "v1-1", **changes: Any) -> None:
    """Publish a model version without files."""
    if not store.registry.data_versions("fields"):
        store.registry.publish_data_version(data_version(digest="0" * 64), [])
    run = f"run-{version}"
    store.registry.start_run(new_run(run))
    row = model_version(version, run)
    row.signature = signature(**changes)
    store.registry.publish_model_version(row, [])


def served(store: Store, version: str = "v1-1") -> ServedVersion:
    row = store.registry.model_version(Reference("crops", version))
    known = Signature.of(row)
    return ServedVersion(
        row=row,
        alias="production",
        sha256="4" * 64,
        signature=known,
        inputs=(TensorSpec("input", "FP32", (-1, *known.shape)),),
        outputs=(),
        properties={},
    )


def exchange(
    version: ServedVersion, request: str, X: NDArray[Any], started: float = MORNING, **outputs: Any
) -> Exchange:
    """An exchange whose scores are drawn, unless there are outputs."""
    if not outputs:
        rng = np.random.default_rng(len(request))
        scores = rng.dirichlet([1, 1], len(X)).astype(np.float32)
        outputs = {"scores": scores, "label": scores.argmax(axis=1)}
    return Exchange(request, version, "ada", started, 0.004, {"input": X}, outputs)


def patches(count: int, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, 2, 3, 3)).astype(np.float32)
