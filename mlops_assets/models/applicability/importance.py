"""Permutation importance of the bands or features of an ONNX model.

Breiman (2001), doi:10.1023/A:1010933404324: how much worse a model is when the values of one
feature are exchanged among samples.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.onnx.session import Outputs, decide

Predict: TypeAlias = Callable[[NDArray[np.float32]], Outputs]
Measure: TypeAlias = Literal["Brier score", "error rate", "mean squared error"]

REPEATS = 3
MIN_SAMPLES, MAX_SAMPLES = 50, 1000
_MAX_VALUES = 10_000_000  # of the samples that the model is run on
_SEED = 0


def samples_for(shape: tuple[int, ...]) -> int:
    """Return the number of samples that the importance of each feature is measured on.

    Args:
        shape: of a sample, features first.
    """
    runs = REPEATS * shape[0] * int(np.prod(shape))
    return int(np.clip(_MAX_VALUES // max(1, runs), MIN_SAMPLES, MAX_SAMPLES))


def permutation_importance(
    predict: Predict, X: NDArray[np.float32], truth: NDArray[np.number], scores: Scores | None
) -> tuple[NDArray[np.float64], Measure]:
    """Return by how much the error grows when a feature is permuted, and which error that is.

    Args:
        predict: the model.
        X: samples, (n, d, …); the values of a feature are permuted together.
        truth: class indices or numbers, (n,), or class indices of pixels, (n, height, width), with
            -1 where unknown.
        scores: kind of the model's scores; None if unknown.

    Returns:
        The mean of `REPEATS` permutations, (d,), negative where the error falls; and the error.
    """
    generator = np.random.default_rng(_SEED)
    orders = [generator.permutation(len(X)) for _ in range(REPEATS)]
    measure, before = _error(predict(X), truth, scores)
    found = np.zeros(X.shape[1])
    changed = X.copy()
    for feature in range(X.shape[1]):
        for order in orders:
            changed[:, feature] = X[order, feature]
            found[feature] += _error(predict(changed), truth, scores)[1] - before
        changed[:, feature] = X[:, feature]
    return found / REPEATS, measure


def _error(
    outputs: Outputs, truth: NDArray[np.number], scores: Scores | None
) -> tuple[Measure, float]:
    if np.issubdtype(truth.dtype, np.floating):
        return "mean squared error", float(np.nanmean((decide(outputs) - truth) ** 2))
    labelled = truth >= 0
    if scores is None or "scores" not in outputs:
        return "error rate", float(np.mean((decide(outputs) != truth)[labelled]))
    from scipy.special import softmax

    given = np.moveaxis(outputs["scores"], 1, -1)[labelled].astype(np.float64)
    probabilities = given if scores == "probabilities" else softmax(given, axis=1)
    # the squared distance from 1 for the true class, and 0 for all others
    right = np.take_along_axis(probabilities, truth[labelled][:, None].astype(np.int64), axis=1)
    squares = (probabilities**2).sum(axis=1) + 1 - 2 * right[:, 0]
    return "Brier score", float(np.nanmean(squares))
