"""Drift and quality of logged samples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mlops_assets.models.reference.bands import band_statistics, feature_names
from mlops_assets.models.reference.summarise import summarise
from mlops_assets.models.reference.training import Compared, TrainingReference
from mlops_assets.monitoring.drift import drift, quality
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.samples import LoggedSamples

ROWS = Signature(view="row", shape=[3], features=["a", "b", "c"], architecture="tree")
WINDOWS = Signature(view="window", shape=[2, 4, 4], features=["red", "nir"], architecture="net")


def reference(
    values: NDArray[np.float32],
    signature: Signature = ROWS,
    predictions: NDArray[np.int32] | None = None,
) -> TrainingReference:
    names = feature_names(signature.features, len(signature.shape) > 1)
    nothing = Compared(values[:0], None)
    return summarise(names, Compared(values, predictions), nothing, ["maize", "wheat"])


def logged(
    values: NDArray[np.float32] | None,
    statistics: NDArray[np.float32] | None = None,
    labels: NDArray[np.int32] | None = None,
    count: int = 0,
) -> LoggedSamples:
    n = next((len(own) for own in (values, statistics, labels) if own is not None), count)
    return LoggedSamples(
        model="crops",
        version="v1",
        data_version="fields@v1",
        day="2026-11-01",
        requests=np.array([str(place) for place in range(n)], dtype=object),
        rows=np.zeros(n, dtype=np.int32),
        times=np.full(n, np.datetime64("2026-11-01T00:00:00.000000")),
        latency_ms=np.ones(n, dtype=np.float32),
        values=values,
        kept=np.full(n, values is not None),
        statistics=statistics,
        labels=labels,
        scores=None,
        numbers=None,
    )


def normal(count: int, features: int = 3, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def test_the_feature_that_has_drifted_comes_first() -> None:
    day = normal(1000, seed=1)
    day[:, 1] += 1
    found = drift(reference(normal(5000)), logged(day), ROWS).day
    assert found.features[0].name == "b"
    assert found.psi == found.features[0].psi > 0.5
    assert found.features[0].wasserstein == pytest.approx(1, abs=0.1)
    assert all(feature.psi < 0.05 for feature in found.features[1:])
    assert found.separation is not None and found.separation > 0.7
    assert found.prediction_shift is None


def test_predictions_are_compared_though_inputs_were_not_kept() -> None:
    labels = np.repeat([0, 1], [900, 100]).astype(np.int32)
    samples = replace(logged(None, labels=labels), values=None)
    found = drift(
        reference(normal(500), predictions=np.arange(500, dtype=np.int32) % 2), samples, ROWS
    ).day
    assert (found.samples, found.features, found.psi, found.separation) == (0, [], None, None)
    # 0.4 ln 1.8 - 0.4 ln 0.2
    assert found.prediction_shift == pytest.approx(0.4 * np.log(9), abs=0.01)


def test_windows_are_described_by_their_bands() -> None:
    training = np.random.default_rng(0).normal(size=(400, 2, 4, 4)).astype(np.float32)
    day = training + np.array([0, 2], dtype=np.float32)[:, None, None]
    found = reference(band_statistics(training).reshape(400, -1), WINDOWS)
    samples = logged(None, statistics=band_statistics(day))
    assert drift(found, samples, WINDOWS).day.features[0].name == "nir mean"
    assert quality(found, samples, WINDOWS).invalid == 0


def test_quality_counts_what_training_did_not_have() -> None:
    training = normal(1000)
    training[:100, 2] = np.nan  # the model knows rows without c
    day = normal(10, seed=1) * np.float32(0.1)
    day[0, 0], day[1, 1], day[2, 2], day[3, 2] = np.nan, -np.inf, np.nan, 100
    day[2:, 1] = day[0, 1] = 0.5
    found = quality(reference(training), logged(day), ROWS)
    assert (found.samples, found.kept) == (10, 10)
    assert (found.invalid, found.beyond, found.constant) == (0.2, 0.1, ["b"])
    assert quality(None, logged(day), ROWS).invalid == pytest.approx(0.3)
