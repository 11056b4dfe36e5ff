"""The versions that a model version is compared with, on rows of the registry."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.models.standing import standing
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import data_version, model_version, new_run
from mlops_assets_tests.training.example_trainers import model_specification


@pytest.fixture
def add(store: Store) -> Any:
    """Adds a version of `crops` on a data version, with metrics if it is evaluated."""

    def added(version: str, data: str = "v1", **metrics: float) -> ModelVersion:
        if not store.registry.data_versions("fields"):
            store.registry.publish_data_version(data_version(digest="0" * 64), [])
        store.registry.start_run(new_run(f"run-{version}"))
        row = model_version(version, f"run-{version}")
        row.data_version = data
        store.registry.publish_model_version(row, [])
        return store.registry.advance(row, "evaluated", [], metrics) if metrics else row

    return added


@pytest.mark.parametrize(
    ("gates", "task", "best"),
    [
        ([], "classification", "accurate"),
        ([{"metric": "ece", "max": 1}, {"metric": "accuracy", "min": 0}], "classification", "calm"),
        ([], "regression", "near"),
        ([{"metric": "bias", "max": 9}], "regression", "even"),
        ([{"metric": "recall.wheat", "min": 0}], "classification", None),
    ],
    ids=["of the task", "of the first gate", "smaller", "nearer to zero", "not measured"],
)
def test_the_best_is_best_by_the_metric_that_matters(
    gates: list[dict[str, object]], task: str, best: str | None, add: Any, store: Store
) -> None:
    add("accurate", accuracy=0.9, ece=0.3, rmse=5, bias=-3)
    add("calm", accuracy=0.8, ece=0.1, rmse=4, bias=2)
    add("near", accuracy=0.7, ece=0.2, rmse=2, bias=-4)
    add("even", accuracy=0.6, ece=0.2, rmse=3, bias=-1)
    add("diverged", accuracy=float("nan"), ece=float("nan"), rmse=float("nan"), bias=float("nan"))
    add("other data", "v2", accuracy=1.0, ece=0.0, rmse=0, bias=0)
    row = add("unmeasured")
    specification = model_specification(gates=gates, task=task)
    found = standing(store.registry, specification, row)
    assert (found.best.version if found.best else None) == best


def test_metrics_of_the_version_in_production_are_compared_on_the_same_data_only(
    add: Any, store: Store
) -> None:
    first, second = add("first", accuracy=0.9), add("second", "v2", accuracy=0.8)
    specification = model_specification()
    assert standing(store.registry, specification, first).production is None
    store.registry.promote(first, [])
    for row, comparable in ((first, True), (second, False)):
        found = standing(store.registry, specification, row)
        assert found.production is not None
        assert (found.production.version, found.comparable) == ("first", comparable)
