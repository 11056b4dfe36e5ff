"""Live metrics against those worked out by hand, by scikit-learn, and by evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from sklearn import metrics as formulae

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.models.evaluation.slices import MIN_SAMPLES
from mlops_assets.models.signature import raw_data
from mlops_assets.monitoring.performance.live import live_metrics
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.monitoring.performance.predicted import (
    FIELDS,
    logged,
    overlapping_crops,
    predicted,
    truth_of,
)
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

Land = Callable[..., Commit]
NAMES = ["fallow", "maize", "wheat"]


@pytest.fixture
def row(store: Store, land_table: Land) -> ModelVersion:
    land_table(overlapping_crops(), FIELDS)
    return lifecycle(store, model_specification(), depth=3)


def test_metrics_of_the_test_split_are_those_of_evaluation(store: Store, row: ModelVersion) -> None:
    data = raw_data(store.workspace, store.registry, row)
    X, y = data.arrays("test")
    samples = predicted(store, row, X)
    live = live_metrics(store, row, samples, truth_of(samples, [NAMES[each] for each in y]))
    assert live is not None and (live.samples, live.total) == (len(X), len(X))
    assert live.metrics.keys() == live.test.keys()
    assert live.metrics["accuracy"].value < 1
    for name, value in live.test.items():
        assert live.metrics[name].value == pytest.approx(value, abs=1e-9), name
        lower, upper = live.metrics[name].lower, live.metrics[name].upper
        assert lower is not None and upper is not None and lower <= value <= upper
    assert "recall.wheat" in live.test


def test_some_labels_slices_and_one_that_the_model_does_not_know(
    store: Store, row: ModelVersion
) -> None:
    labels = np.tile([0, 1, 2, 0], 25).astype(np.int32)
    samples = logged(100, row, labels=labels)
    names = [NAMES[each] for each in labels]
    names[0], names[1:6] = "rye", ["wheat"] * 5
    regions: list[str | None] = ["north"] * 60 + ["south"] * 35 + [None] * 5
    many: list[str | None] = [str(number) for number in range(100)]
    truth = truth_of(samples, names, slices={"region": regions, "field": many})
    # labels of 90 of them, in another order
    order = np.random.default_rng(0).permutation(100)[:90]
    order = np.union1d(order, np.arange(6))[::-1]
    part = replace(
        truth,
        requests=truth.requests[order],
        rows=truth.rows[order],
        labels=truth.labels[order],
        numbers=truth.numbers[order],
        slices={name: values[order] for name, values in truth.slices.items()},
    )
    live = live_metrics(store, row, samples, part)
    known = np.setdiff1d(order, [0])
    expected = formulae.accuracy_score(np.array(names)[known], np.array(NAMES)[labels[known]])
    assert live is not None and (live.samples, live.total) == (len(known), 100)
    assert live.metrics["accuracy"].value == pytest.approx(expected)
    north = known[known < 60]
    found = live.slices["region"]["north"]
    assert found["accuracy"].samples == len(north)
    right = np.array(names)[north] == np.array(NAMES)[labels[north]]
    assert found["accuracy"].value == pytest.approx(right.mean())
    # none of its values has enough samples
    assert live.slices.keys() == {"region"} and live.slices["region"].keys() == {"north", "south"}


def test_samples_of_a_request_are_one_unit(store: Store, row: ModelVersion) -> None:
    labels = np.repeat([0, 1, 2, 0, 1, 2, 0, 1], 50).astype(np.int32)
    truth = np.repeat([0, 1, 2, 0, 1, 2, 1, 0], 50)
    alone = logged(400, row, labels=labels)
    together = replace(
        alone,
        requests=np.repeat(np.array(list("abcdefgh"), dtype=object), 50),
        rows=np.tile(np.arange(50, dtype=np.int32), 8),
    )
    widths = []
    for samples in (alone, together):
        live = live_metrics(store, row, samples, truth_of(samples, [NAMES[each] for each in truth]))
        assert live is not None and live.metrics["accuracy"].value == 0.75
        found = live.metrics["accuracy"]
        assert found.lower is not None and found.upper is not None
        widths.append(found.upper - found.lower)
    # all of a request are right or all are wrong: its interval is that of eight samples
    assert widths[1] > 4 * widths[0]


def test_too_few_labels_measure_nothing(store: Store, row: ModelVersion) -> None:
    samples = logged(MIN_SAMPLES - 1, row, labels=np.zeros(MIN_SAMPLES - 1, dtype=np.int32))
    assert live_metrics(store, row, samples, None) is None
    assert live_metrics(store, row, samples, truth_of(samples, ["fallow"] * len(samples))) is None
    undecided = logged(100, row, labels=np.full(100, -1, dtype=np.int32))
    assert live_metrics(store, row, undecided, truth_of(undecided, ["fallow"] * 100)) is None


def test_scores_that_are_missing_measure_no_calibration(store: Store, row: ModelVersion) -> None:
    scores = np.full((20, 3), np.nan, dtype=np.float32)
    samples = logged(20, row, labels=np.zeros(20, dtype=np.int32), scores=scores)
    live = live_metrics(store, row, samples, truth_of(samples, ["fallow"] * 20))
    assert live is not None and live.metrics["accuracy"].value == 1
    assert "ece" not in live.metrics and "recall.wheat" not in live.metrics


def test_numbers(store: Store, land_table: Land) -> None:
    frame = crops_table(300)
    frame["crop"] = frame["ndvi_01"] * 10
    land_table(frame, FIELDS)
    row = lifecycle(
        store,
        model_specification(
            task="regression", trainer="mlops_assets.training.trainers.sklearn:train"
        ),
        estimator="sklearn.tree.DecisionTreeRegressor",
    )
    truth = np.arange(40.0)
    given = (truth + np.tile([1.0, -2.0], 20)).astype(np.float32)
    given[0] = np.nan
    samples = logged(40, row, numbers=given)
    live = live_metrics(store, row, samples, truth_of(samples, numbers=truth))
    assert live is not None and live.samples == 39
    assert live.metrics["mae"].value == pytest.approx((20 * 2 + 19) / 39)
    assert live.metrics["bias"].value == pytest.approx((19 - 40) / 39)
    assert live.metrics.keys() == live.test.keys() == {"rmse", "mae", "r2", "bias"}
