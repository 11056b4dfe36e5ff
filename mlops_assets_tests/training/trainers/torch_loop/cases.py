"""One declared model for each kind of data that the ready-made PyTorch trainers take.

All are tiny.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.datasets.views import committed, land
from mlops_assets_tests.training.example_trainers import training_request

# JAX, where another test of this process has imported it, warns of every fork; workers that read
# ahead do not use it
forks = pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning")


@dataclass(frozen=True)
class Case:
    """A trainer on a view; `metric` of the test split must be within `bounds`."""

    trainer: str
    view: str
    params: dict[str, Any] = field(default_factory=dict)
    metric: str = "accuracy"
    bounds: tuple[float, float] = (0.9, 1.0)

    def __str__(self) -> str:
        return f"{self.trainer}-{self.view}-{self.params.get('architecture', '')}".rstrip("-")


SMALL: dict[str, Any] = {"epochs": 4, "batch_size": 32, "learning_rate": 1e-2}
PATCHES = Case("patch_cnn", "patch", {**SMALL, "batch_size": 128, "width": 8, "blocks": 1})
WINDOWS = Case("unet", "window", {**SMALL, "batch_size": 8, "width": 8, "depth": 2})
SERIES = Case("time_series", "row", {**SMALL, "width": 16})
IMAGES = Case("patch_cnn", "image", {**SMALL, "width": 8, "blocks": 1, "batch_size": 8})
CASES = [
    PATCHES,
    IMAGES,
    WINDOWS,
    SERIES,
    Case("time_series", "row", {**SMALL, "architecture": "attention", "width": 32}),
    Case(
        "time_series",
        "pixel",
        {**SMALL, "batch_size": 128, "steps": 2, "order": "by_date", "width": 16},
    ),
    # their spread is 20
    Case("time_series", "yield", {**SMALL, "epochs": 10, "width": 16}, "rmse", (0.0, 4.0)),
]


DATASETS = {
    "row": "fields",
    "yield": "yields",
    "pixel": "scenes",
    "patch": "scenes",
    "window": "windows",
    "image": "photos",
}


def landed(store: Store, view: str) -> CommittedDataset:
    """Return the data version of this view, landed once a store.

    `yield` is a number that follows from the months.
    """
    if store.registry.data_versions(DATASETS[view]):
        return CommittedDataset.open(store.workspace, store.registry, Reference(DATASETS[view]))
    if view != "yield":
        return committed(store, view)
    table = crops_table(400)
    numbers = 1000 + 80 * table.filter(like="ndvi").mean(axis=1).round(4)
    specification = table_specification("yields")
    return land(
        store, specification, lambda f: table.assign(crop=numbers).to_csv(f / "a.csv", index=False)
    )


def declared(store: Store, case: Case, name: str = "net", **changes: object) -> ModelSpecification:
    """Land the case's data as version v1 and declare its model."""
    task = {"window": "semantic-segmentation", "yield": "regression"}.get(
        case.view, "classification"
    )
    attributes = {
        "name": name,
        "dataset": landed(store, case.view).row.dataset,
        "task": task,
        "params": case.params,
        "inputs": "row" if case.view == "yield" else case.view,
        "trainer": f"mlops_assets.training.trainers.{case.trainer}:train",
    }
    return ModelSpecification.model_validate(attributes | changes)


def trained(store: Store, case: Case, seed: int = 0, **params: Any) -> ModelVersion:
    """Train a case's model; `params` replace those of the case."""
    return train(
        store, training_request(declared(store, case), "v1", {**case.params, **params}, seed)
    )
