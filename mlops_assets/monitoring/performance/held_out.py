"""Samples of a model version's own data that it was not trained on, as the estimate takes them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import SplitName
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.evaluation.slices import independent_units
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.monitoring.performance.calibration import MIN_SAMPLES, CalibrationSamples
from mlops_assets.monitoring.performance.dissimilarity import SampleIndex
from mlops_assets.monitoring.performance.scores import log_odds
from mlops_assets.progress import step

MAX_SAMPLES = 10_000
_MAX_BYTES = 512 << 20  # of samples that are held at once
# never trained on; the test split judges versions, so it is taken only where there is no other
SPLITS: tuple[SplitName, ...] = ("validation", "test")


def calibration_samples(
    data: TrainingData, model: OnnxModel, index: SampleIndex, kind: Scores
) -> tuple[SplitName, CalibrationSamples] | None:
    """Return samples of a split inside the area of applicability, with what is predicted of them.

    Args:
        data: of the model version, raw.
        model: its ONNX model, with scores.
        index: of the model version.
        kind: of the scores.

    Returns:
        The split and its samples; None if no split has `MIN_SAMPLES`.

    Raises:
        ExportError: the model does not run on them.
        IntegrityError: a file of the data version is not as it was committed.
        StorageError: a file is missing, or the decoded cache cannot be written.
    """
    for split in SPLITS:
        samples = _read(data, split, model, index, kind)
        if len(samples) >= MIN_SAMPLES:
            return split, samples
    return None


def absolute_errors(
    data: TrainingData, split: SplitName, model: OnnxModel, index: SampleIndex
) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
    """Return index, absolute error and unit of samples of a split, for regression, (n,) each.

    Raises:
        ExportError: the model does not run on them.
        IntegrityError: a file of the data version is not as it was committed.
        StorageError: a file is missing, or the decoded cache cannot be written.
    """
    X, truth, units = _arrays(data, split)
    if not len(X):
        return np.empty(0, dtype=np.float32), np.empty(0), units
    with step(f"predicting the {split} split", len(X), "samples"):
        error = np.abs(decide(model.predict(X)) - truth).astype(np.float64)
    return index.of(X), error, units


def _read(
    data: TrainingData, split: SplitName, model: OnnxModel, index: SampleIndex, kind: Scores
) -> CalibrationSamples:
    X, truth, units = _arrays(data, split)
    none = np.empty(0)
    if not len(X):
        whole = none.astype(np.int64)
        return CalibrationSamples(none, none, whole, none.astype(bool), whole)
    with step(f"calibrating on the {split} split", len(X), "samples"):
        outputs = model.predict(X)
        di = index.of(X)
    labels = np.asarray(decide(outputs), dtype=np.int64)
    odds = log_odds(outputs["scores"], labels, kind)
    used = index.applicability.inside(di) & np.isfinite(odds) & (truth >= 0)
    return CalibrationSamples(
        odds[used],
        relative(di[used], index),
        labels[used],
        labels[used] == truth[used],
        units[used],
    )


def relative(di: NDArray[np.float32], index: SampleIndex) -> NDArray[np.float64]:
    """Return an index in thresholds of the area of applicability, (n,)."""
    # a threshold of 0 has only samples that equal a training sample inside, all with an index of 0
    threshold = index.applicability.threshold or 1.0
    return di.astype(np.float64) / threshold


def _arrays(
    data: TrainingData, split: SplitName
) -> tuple[NDArray[np.float32], NDArray[np.number], NDArray[np.int64]]:
    """Return samples, labels and units of a split, evenly spread over it if there are too many."""
    size = 4 * int(np.prod(data.sample_shape))
    limit = min(MAX_SAMPLES, max(MIN_SAMPLES, _MAX_BYTES // size))
    X, truth = data.arrays(split, limit=limit)
    units = independent_units(data.committed, split).codes[data.positions(split, limit)]
    return X, truth, units
