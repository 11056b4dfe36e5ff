"""Samples of a split as drift is measured of them, and what the model predicts for some.

Values are what the ONNX file takes, as requests have them: nodata and masked pixels are not left
out, which a caller of a server does not know of.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import SplitName
from mlops_assets.models.onnx.session import OnnxModel, Outputs, decide
from mlops_assets.models.reference.bands import band_statistics
from mlops_assets.models.reference.training import Compared
from mlops_assets.progress import step
from mlops_assets.registry.model_documents import samples_at_once

MAX_VALUES = 100_000
# of patches, windows and images, so that large ones take seconds to read
_MAX_BYTES = 1 << 30
_MIN_SAMPLES = 200
_MAX_PREDICTED = 10_000
# a sample may take a network a GFLOP
_MAX_PREDICTED_BY_NETWORKS = 2_000


def read_compared(
    data: TrainingData, split: SplitName, model: OnnxModel, most: int = MAX_VALUES
) -> Compared:
    """Return samples of a split, drawn at random if there are too many.

    The digest of the data version seeds the draw, so that it is the same everywhere.

    Args:
        data: a data version, raw, with the bands of the model.
        split: `train` or `test`.
        model: predicts some of them.
        most: number of samples.

    Raises:
        IntegrityError: a file of the data version is not as it was committed.
        StorageError: a file is missing, or the decoded cache cannot be written.
        ExportError: the model does not run on them.
    """
    count = len(data.committed.split(split))
    if not count:
        return Compared(np.empty((0, _width(data)), dtype=np.float32), None)
    limit = min(most, _limit(data.sample_shape))
    order = np.random.default_rng(int(data.digest[:16], 16)).permutation(count)
    simple = len(data.sample_shape) == 1
    predicted = order[: min(limit, _MAX_PREDICTED if simple else _MAX_PREDICTED_BY_NETWORKS)]
    positions = np.sort(order[:limit])
    source = data.source(split).samples()
    values: list[NDArray[np.float32]] = []
    predictions: list[NDArray[np.number] | None] = []
    size = samples_at_once(data.sample_shape)
    with step(f"reading values of the {split} split", len(positions), "samples") as done:
        for start in range(0, len(positions), size):
            own = positions[start : start + size]
            X = data.prepare(source[own])
            values.append(described(X))
            wanted = np.isin(own, predicted, assume_unique=True)
            if wanted.any():
                predictions.append(one_each(model.predict(X[wanted])))
            done.advance(len(own))
    known = [own for own in predictions if own is not None]
    return Compared(np.concatenate(values), np.concatenate(known) if known else None)


def described(X: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return what drift is measured of, (n, features): values, or statistics of each band.

    Args:
        X: samples, (n, features) or (n, bands, height, width).
    """
    return X if X.ndim == 2 else band_statistics(X).reshape(len(X), -1)


def one_each(outputs: Outputs) -> NDArray[np.number] | None:
    """Return a class index or number a sample, (n,); None where there are labels of pixels only.

    Of windows it is the class of the highest mean score over the pixels.
    """
    decided = decide(outputs)
    if decided.ndim == 1:
        return decided
    if "scores" not in outputs:
        return None
    return dominant_class(outputs["scores"].reshape(*outputs["scores"].shape[:2], -1).mean(axis=2))


def dominant_class(scores: NDArray[np.number]) -> NDArray[np.number]:
    """Return the class index of the highest score, (n,).

    Args:
        scores: of the classes, (n, classes).
    """
    return np.asarray(scores.argmax(axis=1))


def _limit(shape: Sequence[int]) -> int:
    if len(shape) == 1:
        return MAX_VALUES
    return min(MAX_VALUES, max(_MIN_SAMPLES, _MAX_BYTES // (4 * math.prod(shape))))


def _width(data: TrainingData) -> int:
    return len(data.features) * (1 if len(data.sample_shape) == 1 else 3)
