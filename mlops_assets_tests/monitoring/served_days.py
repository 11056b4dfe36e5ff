"""A small model with days of requests, as monitoring measures them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.serving.request_log.client import log_samples
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

DAY = "2026-11-02"
MODEL = model_specification()


def service(**changes: object) -> ServiceSpecification:
    """A service of the model `crops`; `changes` replace attributes."""
    declared: dict[str, object] = {"name": "crops_service", "model": "crops"}
    return ServiceSpecification.model_validate(declared | changes)


def open_workspace(root: Path) -> Store:
    """The workspace of a folder."""
    return Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )


def served_workspace(root: Path) -> Path:
    """A workspace with two recorded versions of `crops`, a deep tree and a shallow one."""
    store = open_workspace(root)
    folder = root / "landing/fields"
    folder.mkdir(parents=True)
    crops_table(600).drop(columns="farm").to_csv(folder / "samples.csv", index=False)
    commit(store.workspace, store.registry, table_specification())
    for depth in (4, 2):
        row = lifecycle(store, MODEL, recorded=True, depth=depth)
        publish_applicability(store, row)
    store.registry.close()
    return root


def versions(store: Store) -> tuple[ModelVersion, ModelVersion]:
    """Both versions, oldest first."""
    first, second = store.registry.model_versions("crops")
    return first, second


def requests(count: int = 300, seed: int = 5) -> tuple[NDArray[np.float32], pd.Series]:
    """Inputs that are distributed as those of training, and their labels."""
    table = crops_table(count, seed)
    columns = [name for name in map(str, table) if name.startswith("ndvi")]
    return table[columns].to_numpy(np.float32), table["crop"]


def log_day(
    store: Store,
    row: ModelVersion,
    inputs: NDArray[np.float32],
    prefix: str = "r",
    day: str = DAY,
) -> list[str]:
    """Log the predictions of a version; return the ids of the requests."""
    key = f"{model_folder(row.model, row.version)}/model.onnx"
    model = OnnxModel(published_path(store.workspace, store.registry, key))
    outputs = model.predict(inputs)
    ids = [f"{prefix}{number}" for number in range(len(inputs))]
    time = datetime.fromisoformat(f"{day}T10:00:00+00:00")
    log_samples(store, Reference(row.model, row.version), inputs, outputs, ids, time)
    return ids
