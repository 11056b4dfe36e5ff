"""The applicability index of training samples: references, threshold, and how far both can be off.

Meyer and Pebesma (2021), doi:10.1111/2041-210X.13650, as the R package CAST has it, but that the
threshold is the third quartile plus 1.5 interquartile ranges itself, where CAST takes the largest
index below it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.models.applicability.index import Applicability, Space, nearest, scaled

MAX_REFERENCES = 2000
MIN_SAMPLES = 2
_ROUNDS = 20  # of k-means


@dataclass(frozen=True)
class Described:
    """Training samples in the space of the index.

    Attributes:
        space: what they are described by.
        names: of the predictors or features, (d,).
        values: (n, d), finite.
        codes: number of each sample's block or group, (n,).
    """

    space: Space
    names: tuple[str, ...]
    values: NDArray[np.float32]
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Fit:
    """The index of training samples.

    Attributes:
        applicability: references and threshold.
        alone: whether each sample was compared with all others, as there are no two groups.
        constant: names of the predictors that are equal in all samples; they do not count.
        unweighted: whether no importance is positive, so that weights are equal.
    """

    applicability: Applicability
    alone: bool
    constant: tuple[str, ...]
    unweighted: bool


def fit(training: Described, importance: NDArray[np.float64] | None) -> Fit | str:
    """Return the applicability of training samples, or why there is none.

    Args:
        training: the samples.
        importance: of each predictor, (d,); None for equal weights. Negative ones count as 0, and
            where none is positive all are equal.
    """
    if len(training.values) < MIN_SAMPLES:
        return f"the training split has {len(training.values)} sample(s) without missing values"
    values = training.values.astype(np.float64)
    centre, scale = values.mean(axis=0), values.std(axis=0)
    # equal values may differ from their mean by rounding
    constant = np.ptp(training.values, axis=0) == 0
    if constant.all():
        return "all training samples are equal"
    counted = np.ones(len(constant)) if importance is None else np.maximum(importance, 0)
    unweighted = importance is None or not counted[~constant].any()
    weights = np.where(constant, 0.0, 1.0 if unweighted else counted)
    weights /= weights.max()
    scale[constant] = 1.0
    used = weights > 0
    points = scaled(training.values[:, used], centre[used], scale[used], weights[used])
    mean = mean_distance(points)
    alone = len(np.unique(training.codes)) < 2
    codes = np.arange(len(points)) if alone else training.codes
    own = nearest(points, points, (codes, codes)) / mean
    low, high = np.percentile(own, (25, 75))
    references, gap = representatives(points, MAX_REFERENCES)
    found = np.zeros((len(references), len(weights)), dtype=np.float32)
    found[:, used] = references
    applicability = Applicability(
        training.space,
        training.names,
        centre,
        scale,
        weights,
        found,
        mean_distance=mean,
        threshold=float(high + 1.5 * (high - low)),
        gap=gap / mean,
    )
    ignored = tuple(np.array(training.names)[constant].tolist())
    return Fit(applicability, alone, ignored, unweighted)


def mean_distance(points: NDArray[np.float32]) -> float:
    """Return the mean distance of all pairs of points, (n, d), at least two."""
    from sklearn.metrics import pairwise_distances_chunked

    rows = pairwise_distances_chunked(
        points, reduce_func=lambda part, _: part.sum(axis=1, dtype=np.float64)
    )
    count = len(points)
    return float(sum(part.sum() for part in rows) / (count * (count - 1)))


def representatives(points: NDArray[np.float32], most: int) -> tuple[NDArray[np.float32], float]:
    """Return few points that stand for many, and the largest distance of a point to its own.

    By the triangle inequality, distances to the nearest of both differ by no more than that.

    Args:
        points: (n, d).
        most: number of points to return; if there are as few, they are returned as they are.
    """
    from sklearn.cluster import KMeans

    distinct = np.unique(points, axis=0)
    if len(distinct) <= most:
        return distinct, 0.0
    kmeans = KMeans(most, init=_spread(distinct, most), n_init=1, max_iter=_ROUNDS).fit(distinct)
    centres = np.asarray(kmeans.cluster_centers_, dtype=np.float32)
    # a centre of no point would stand for nothing
    centres = centres[np.unique(kmeans.predict(distinct))]
    return centres, float(nearest(distinct, centres).max())


def _spread(points: NDArray[np.float32], count: int) -> NDArray[np.float32]:
    """Return points of which each is the farthest from those before it, beginning in the middle.

    Gonzalez (1985), doi:10.1016/0304-3975(85)90224-5. K-means that starts from them leaves no point
    far from its centre, as it does from random ones.
    """
    squares = np.einsum("nd,nd->n", points, points)
    # points are centred
    chosen = [int(squares.argmin())]
    distances = np.full(len(points), np.inf, dtype=np.float32)
    while len(chosen) < count:
        newest = points[chosen[-1]]
        np.minimum(distances, squares - 2 * (points @ newest) + newest @ newest, out=distances)
        chosen.append(int(distances.argmax()))
    return points[chosen]
