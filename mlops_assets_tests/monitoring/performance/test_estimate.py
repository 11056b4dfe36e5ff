"""Estimates of performance without labels, against labels that the test has."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.models.signature import raw_data
from mlops_assets.monitoring.document import Estimate
from mlops_assets.monitoring.performance import fitted
from mlops_assets.monitoring.performance.dissimilarity import dissimilarity
from mlops_assets.monitoring.performance.estimate import MIN_SAMPLES, estimate
from mlops_assets.prediction.mapped import MapIndex
from mlops_assets.registry import ModelVersion
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.monitoring.performance.predicted import (
    BY_FARM,
    FIELDS,
    features,
    overlapping_crops,
    predicted,
)
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

Land = Callable[..., Commit]
SKLEARN = "mlops_assets.training.trainers.sklearn:train"
FOREST: dict[str, Any] = {
    "estimator": "sklearn.ensemble.RandomForestClassifier",
    "n_estimators": 20,
}


@pytest.fixture
def row(store: Store, land_table: Land) -> ModelVersion:
    """A forest that is too sure of itself, as it is grown to the end."""
    land_table(overlapping_crops(), FIELDS)
    row = lifecycle(store, model_specification(trainer=SKLEARN), **FOREST)
    publish_applicability(store, row)
    return row


def estimated(store: Store, row: ModelVersion, samples: LoggedSamples) -> Estimate:
    found = estimate(store, row, samples, dissimilarity(store, row, samples))
    assert found is not None
    return found


def inside(store: Store, row: ModelVersion, samples: LoggedSamples) -> NDArray[np.bool_]:
    index, di = MapIndex.of(store, row), dissimilarity(store, row, samples)
    assert index is not None and di is not None
    return index.applicability.inside(di)


def fresh(store: Store, row: ModelVersion) -> tuple[LoggedSamples, NDArray[np.bool_]]:
    """Samples that were never seen, and which are right."""
    frame = overlapping_crops(2000, seed=7)
    samples = predicted(store, row, features(frame))
    names = np.array(raw_data(store.workspace, store.registry, row).class_names)
    assert samples.labels is not None
    return samples, names[samples.labels] == frame["crop"].to_numpy()


def test_the_accuracy_of_what_was_never_seen(store: Store, row: ModelVersion) -> None:
    samples, right = fresh(store, row)
    found = estimated(store, row, samples)
    own = inside(store, row, samples)
    truth = right[own].mean()
    assert found.value is not None and found.reason is None and 0.6 < truth < 0.95
    assert found.value.value == pytest.approx(truth, abs=0.05)
    lower, upper = found.value.lower, found.value.upper
    assert lower is not None and upper is not None and lower < truth < upper
    assert upper - lower < 0.2
    assert found.value.samples == own.sum() and found.not_estimable == pytest.approx(1 - own.mean())
    assert "of the validation split" in found.method
    # raw confidences promise more
    assert samples.scores is not None
    assert samples.scores.max(axis=1)[own].mean() > truth + 0.04


def test_samples_outside_are_not_estimated(store: Store, row: ModelVersion) -> None:
    samples, _ = fresh(store, row)
    assert samples.values is not None
    values = samples.values.copy()
    values[: len(values) // 2] += 100
    mixed = estimated(store, row, replace(samples, values=values))
    kept = samples.where(np.arange(len(samples)) >= len(samples) // 2)
    alone = estimated(store, row, kept)
    assert mixed.value is not None and alone.value is not None
    assert mixed.value.value == pytest.approx(alone.value.value)
    assert mixed.not_estimable == pytest.approx(0.5 + alone.not_estimable / 2)
    far = estimated(store, row, replace(samples, values=samples.values + 100))
    assert far.value is None and far.not_estimable == 1
    assert "0 of 2000 samples lie inside" in str(far.reason)


def test_it_is_fitted_once_and_the_same_again(
    store: Store, row: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, _ = fresh(store, row)
    first = estimated(store, row, samples)
    (kept,) = (store.workspace.cache / fitted.FOLDER).iterdir()
    with monkeypatch.context() as patched:
        patched.setattr(fitted, "calibration_samples", lambda *_: pytest.fail("read again"))
        assert estimated(store, row, samples) == first
    kept.write_bytes(kept.read_bytes()[:100])
    assert estimated(store, row, samples) == first
    shutil.rmtree(kept.parent)
    kept.parent.write_text("in the way")
    assert estimated(store, row, samples) == first


def test_data_that_cannot_be_read_gives_the_reason(store: Store, row: ModelVersion) -> None:
    samples, _ = fresh(store, row)
    di = dissimilarity(store, row, samples)
    shutil.rmtree(store.workspace.cache)
    for path in (store.workspace.root / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    found = estimate(store, row, samples, di)
    assert found is not None and found.value is None and found.not_estimable == 1
    assert "what crops@" in str(found.reason) and "cannot be read" in str(found.reason)


def test_what_an_estimate_needs(store: Store, row: ModelVersion) -> None:
    samples, _ = fresh(store, row)
    di = dissimilarity(store, row, samples)
    assert estimate(store, row, samples.where(np.zeros(len(samples), dtype=bool)), di) is None
    nothing = {
        "the area of applicability": estimate(store, row, samples, None),
        "gives no scores": estimate(store, row, replace(samples, scores=None), di),
        f"fewer than {MIN_SAMPLES}": estimated(store, row, samples.where(np.arange(2000) < 9)),
    }
    for reason, found in nothing.items():
        assert found is not None and found.value is None and reason in str(found.reason)
    assert samples.scores is not None
    scores = samples.scores.copy()
    scores[::2] = np.nan
    half = estimate(store, row, replace(samples, scores=scores), di)
    assert half is not None and half.value is not None and 0.5 <= half.not_estimable < 0.7


def test_scores_of_an_unknown_kind_are_not_taken_for_probabilities(
    store: Store, row: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples, _ = fresh(store, row)
    monkeypatch.setattr(
        "mlops_assets.monitoring.performance.scores.kind_of_scores", lambda *_: None
    )
    found = estimated(store, row, samples)
    assert found.value is None and "probabilities or logits is not known" in str(found.reason)


@pytest.mark.parametrize("missing", ["a class", "all"])
def test_validation_without_a_class_or_without_samples(
    store: Store, land_table: Land, missing: str
) -> None:
    frame = overlapping_crops()
    splits = np.random.default_rng(0).choice(
        ["train", "validation", "test"], 900, p=[0.5, 0.3, 0.2]
    )
    if missing == "a class":
        splits[(splits == "validation") & (frame["crop"] == "wheat")] = "test"
    else:
        splits[splits == "validation"] = "test"
    source = {
        "url": "landing/fields",
        "layout": "table",
        "table": {"label": "crop", "group": "farm", "split": "part"},
    }
    land_table(
        frame.assign(part=splits),
        table_specification(source=source, split={"method": "column"}),
    )
    row = lifecycle(store, model_specification(trainer=SKLEARN), **FOREST)
    publish_applicability(store, row)
    samples, right = fresh(store, row)
    found = estimated(store, row, samples)
    own = inside(store, row, samples)
    assert found.value is not None
    assert found.value.value == pytest.approx(right[own].mean(), abs=0.08)
    split = "validation" if missing == "a class" else "test"
    assert f"of the {split} split" in found.method


def test_numbers_have_the_error_of_their_profile(store: Store, land_table: Land) -> None:
    def numbers(rows: int, seed: int) -> Any:
        frame = crops_table(rows, seed)
        noise = np.random.default_rng(seed + 1000).normal(0, 0.5, rows)
        return frame.assign(crop=10 * frame["ndvi_01"] + noise)

    land_table(numbers(900, 0), table_specification(**BY_FARM))
    row = lifecycle(
        store,
        model_specification(task="regression", trainer=SKLEARN),
        estimator="sklearn.ensemble.RandomForestRegressor",
        n_estimators=20,
    )
    publish_applicability(store, row)
    frame = numbers(2000, 5)
    samples = predicted(store, row, features(frame))
    found = estimated(store, row, samples)
    own = inside(store, row, samples)
    assert samples.numbers is not None and found.value is not None
    truth = np.abs(samples.numbers - frame["crop"].to_numpy())[own].mean()
    assert found.metric == "mae" and found.value.value == pytest.approx(truth, rel=0.15)
    lower, upper = found.value.lower, found.value.upper
    assert lower is not None and upper is not None and lower <= truth <= upper
    index = MapIndex.of(store, row)
    assert index is not None and index.applicability.profile is not None
    assert fitted.profile_replicates(store, row, index, index.applicability.profile) is not None
