"""The dissimilarity index of samples to what a model was trained on, and its area of applicability.

Meyer and Pebesma (2021), doi:10.1111/2041-210X.13650. Nothing here reads data or runs models.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Space: TypeAlias = Literal["predictors", "features"]

_BLOCK_BYTES = 16 << 20  # of distances that are held at once


@dataclass(frozen=True)
class ErrorProfile:
    """The expected error at an index, as measured on samples that were not trained on.

    Attributes:
        measure: what the error is: `error rate` or `absolute error`.
        split: split of the samples.
        samples: their number.
        di: indices of the knots, rising, (k,).
        error: expected error at each, never falling, (k,).
    """

    measure: str
    split: str
    samples: int
    di: NDArray[np.float32]
    error: NDArray[np.float32]

    def expected(self, di: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the expected error at some indices; beyond the knots it is that of the last."""
        return np.interp(di, self.di, self.error).astype(np.float32)


@dataclass(frozen=True)
class Applicability:
    """Reference points and threshold of the dissimilarity index.

    Attributes:
        space: what a sample is described by: values of the model's `predictors`, or the `features`
            that its last layer takes.
        names: of the predictors or features, (d,).
        centre: subtracted from a sample, (d,): the mean of the training samples.
        scale: what it is divided by then, (d,): their standard deviation; 1 where they are equal.
        weights: what it is multiplied by then, (d,): importance, 1 for the largest.
        references: points that stand for the training samples, scaled and weighted, (r, d).
        mean_distance: mean distance between training samples, scaled and weighted.
        threshold: the largest index inside the area of applicability.
        gap: by how much the index may differ from that to all training samples.
        profile: the expected error; None if it was not measured.
    """

    space: Space
    names: tuple[str, ...]
    centre: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    references: NDArray[np.float32]
    mean_distance: float
    threshold: float
    gap: float
    profile: ErrorProfile | None = None

    def di(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        """Return the dissimilarity index of samples.

        It is the distance to the nearest reference point, in units of the mean distance between
        training samples.

        Args:
            samples: (n, d), as the model takes them.

        Returns:
            (n,); NaN where a weighted value is not finite.
        """
        return self._di(samples, self._points)

    def exact_di(
        self, samples: NDArray[np.floating], training: NDArray[np.floating]
    ) -> NDArray[np.float32]:
        """Return the index of samples, (n, d), to all training samples, (m, d), not references."""
        return self._di(samples, self._scaled(training))

    def _di(
        self, samples: NDArray[np.floating], references: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        points = self._scaled(samples)
        found = nearest(points, references) / np.float32(self.mean_distance)
        found[~np.isfinite(points).all(axis=1)] = np.nan
        return found

    def _scaled(self, samples: NDArray[np.floating]) -> NDArray[np.float32]:
        used = self.weights > 0
        return scaled(samples[:, used], self.centre[used], self.scale[used], self.weights[used])

    def inside(self, di: NDArray[np.float32]) -> NDArray[np.bool_]:
        """Return which indices lie inside the area of applicability; NaN lies outside."""
        return di <= self.threshold

    @cached_property
    def _points(self) -> NDArray[np.float32]:
        return np.ascontiguousarray(self.references[:, self.weights > 0])


def scaled(
    samples: NDArray[np.floating],
    centre: NDArray[np.float64],
    scale: NDArray[np.float64],
    weights: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return samples, (n, d), centred, divided by their scale and weighted, in float32."""
    return ((samples - centre) * (weights / scale)).astype(np.float32)


def nearest(
    points: NDArray[np.float32],
    references: NDArray[np.float32],
    codes: tuple[NDArray[np.int64], NDArray[np.int64]] | None = None,
) -> NDArray[np.float32]:
    """Return the distance of each point to the nearest reference.

    The nearest is found by a matrix product in float32, and its distance is computed directly, so
    that nothing is lost to cancellation.

    Args:
        points: (n, d), finite; others get any value.
        references: (r, d), finite.
        codes: of the points and of the references; references of the point's own code do not count.

    Returns:
        (n,); infinite where no reference counts.
    """
    found = np.empty(len(points), dtype=np.float32)
    squares = np.einsum("rd,rd->r", references, references)
    # (x, 1) by (-2 r, r²): less the squares of the points, which do not change the order
    factors = np.vstack([-2 * references.T, squares])
    block = max(1, _BLOCK_BYTES // (4 * max(1, len(references))))
    buffer = np.empty((min(block, len(points)), len(references)), dtype=np.float32)
    for start in range(0, len(points), block):
        part = points[start : start + block]
        ones = np.ones((len(part), 1), dtype=np.float32)
        distances = np.matmul(np.hstack([part, ones]), factors, out=buffer[: len(part)])
        if codes is not None:
            own, others = codes
            distances[own[start : start + block, None] == others] = np.inf
        best = distances.argmin(axis=1)
        difference = part - references[best]
        found[start : start + block] = np.sqrt(np.einsum("nd,nd->n", difference, difference))
        if codes is not None:
            alone = np.isinf(distances[np.arange(len(part)), best])
            found[start : start + block][alone] = np.inf
    return found
