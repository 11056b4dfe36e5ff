"""Distances to the nearest training sample, of training samples, test samples and a target area.

On the ground they are great-circle distances in metres, between bands in standard deviations of
training.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.quality.content.places import earth_centred
from mlops_assets.datasets.quality.content.subsample import draw
from mlops_assets.datasets.quality.target.area import Lonlat

MAX_POINTS = 10_000  # of each distribution; on the ground, all training samples are searched
RADIUS = 6_371_008.8  # mean radius of the Earth, metres: IUGG, GRS 80
AT_ONCE = 512  # points that are compared with all training samples at once


@dataclass(frozen=True, eq=False)
class Distances:
    """Distances to the nearest training sample, sorted.

    Attributes:
        unit: `m`, or `sd`: standard deviations of training.
        sample: of training samples, from the nearest other one, (n,).
        test: of test samples, (m,).
        target: of points of the target area, (k,).
    """

    unit: str
    sample: NDArray[np.float64]
    test: NDArray[np.float64]
    target: NDArray[np.float64]

    @property
    def wasserstein(self) -> float:
        """Wasserstein distance between `target` and `test`: the W of kNNDM."""
        from scipy.stats import wasserstein_distance

        return float(wasserstein_distance(self.target, self.test))

    @property
    def median_target(self) -> float:
        """Median distance of the target area."""
        return float(np.median(self.target))

    @property
    def difference(self) -> float:
        """`wasserstein` as a share of the larger mean: 0 if equal, 1 if one is nothing beside."""
        larger = max(float(self.test.mean()), float(self.target.mean()))
        return self.wasserstein / larger if larger else 0.0


def on_ground(train: Lonlat, test: Lonlat, target: Lonlat) -> Distances:
    """Return distances on the ground.

    Args:
        train: places of at least two training samples; all are searched, `MAX_POINTS` of them are
            drawn whose own distances are measured.
        test: places of test samples, of which `MAX_POINTS` are drawn.
        target: points of the target area.
    """
    from scipy.spatial import cKDTree

    tree = cKDTree(earth_centred(*train.T))

    def nearest(points: Lonlat, neighbour: int = 1) -> NDArray[np.float64]:
        chords = tree.query(earth_centred(*points.T), k=[neighbour], workers=-1)[0][:, 0]
        return np.sort(2 * RADIUS * np.arcsin(np.clip(chords / (2 * RADIUS), 0, 1)))

    own = draw(np.arange(len(train)), MAX_POINTS)
    asked = draw(np.arange(len(test)), MAX_POINTS)
    return Distances("m", nearest(train[own], 2), nearest(test[asked]), nearest(target))


@dataclass(frozen=True, eq=False)
class Values:
    """Values of the bands at points.

    Attributes:
        values: (n, bands), without NaN.
        sample: the sample that each is of, (n,); all different but for windows.
    """

    values: NDArray[np.float64]
    sample: NDArray[np.int64]


def between_bands(train: Values, test: Values, target: NDArray[np.float64]) -> Distances:
    """Return Euclidean distances between the values of bands, standardised by training.

    Points of training are compared with those of other samples only.

    Args:
        train: points of at least two training samples.
        test: points of test samples.
        target: values at points of the target area, (k, bands).
    """
    mean, spread = train.values.mean(axis=0), train.values.std(axis=0)
    spread = np.where(spread > 0, spread, 1.0)
    known = (train.values - mean) / spread

    def nearest(
        values: NDArray[np.float64], own: NDArray[np.int64] | None = None
    ) -> NDArray[np.float64]:
        asked = (values - mean) / spread
        lengths = (known**2).sum(axis=1)
        found = np.empty(len(asked))
        for start in range(0, len(asked), AT_ONCE):
            part = asked[start : start + AT_ONCE]
            square = (part**2).sum(axis=1)[:, None] + lengths - 2 * part @ known.T
            if own is not None:
                square[own[start : start + AT_ONCE, None] == train.sample] = np.inf
            found[start : start + AT_ONCE] = square.min(axis=1)
        return np.sort(np.sqrt(np.maximum(found, 0)))

    return Distances(
        "sd", nearest(train.values, train.sample), nearest(test.values), nearest(target)
    )
