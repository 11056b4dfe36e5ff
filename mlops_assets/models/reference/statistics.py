"""Distances between two samples of one variable: of sorted values, and of counts in bins.

Nothing here decides; p-values are left out on purpose, as with 100,000 samples every difference is
significant. Definitions are in docs/drift.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

MAX_BINS = 20
# expected in each joined bin: without drift, PSI times the number of samples is about chi-squared
# with a degree of freedom less than there are bins (Yurdakul 2018, Statistical Properties of
# Population Stability Index, Western Michigan University), so that it stays far below 0.1
MIN_EXPECTED = 50
# beyond the values of training, below which such a bin joins its neighbour: a few samples are
# within chance, and would weigh as much as the little that is expected there
MIN_BEYOND = 5
# of predicted classes, which cannot be joined with a neighbour
MIN_EXPECTED_OF_CLASS = 10
# added to every count, so that an empty bin has no infinite logarithm (Jeffreys' prior)
_PSEUDOCOUNT = 0.5


class SortedDistances(NamedTuple):
    """Distances of two samples, from their sorted values.

    Attributes:
        ks: Kolmogorov-Smirnov distance, 0 to 1.
        wasserstein: Wasserstein distance, in the unit of the values.
    """

    ks: float
    wasserstein: float


def sorted_distances(first: NDArray[np.floating], second: NDArray[np.floating]) -> SortedDistances:
    """Return the distances of two samples whose values are sorted, from one merged sort.

    Both are functions of the difference of the cumulative distributions: its largest absolute
    value, and its integral.

    Args:
        first: finite, ascending, (n,).
        second: finite, ascending, (m,).

    Returns:
        Both; where one sample is empty and the other is not, `ks` is 1 and `wasserstein` 0.
    """
    if not len(first) or not len(second):
        return SortedDistances(float(len(first) != len(second)), 0.0)
    # two ascending runs, which a stable sort merges in linear time
    merged = np.concatenate([first, second])
    merged.sort(kind="stable")
    difference = np.searchsorted(first, merged, side="right") / len(first)
    difference -= np.searchsorted(second, merged, side="right") / len(second)
    np.abs(difference, out=difference)
    steps = np.diff(merged.astype(np.float64, copy=False))
    return SortedDistances(float(difference.max()), float(difference[:-1] @ steps))


@dataclass(frozen=True)
class Bins:
    """Bins of a variable, by quantiles of the training samples.

    Bin 0 is below all of them, then come at most `MAX_BINS` that each end with a quantile, and the
    last is above all of them. A value that is more frequent than a bin has one of its own.

    Attributes:
        edges: upper ends, inclusive, of all bins but the last, ascending, (b - 1,).
    """

    edges: NDArray[np.float64]

    @classmethod
    def of(cls, values: NDArray[np.floating]) -> Bins:
        """Return the bins of a sample.

        Args:
            values: finite, ascending, (n,); none give one bin.
        """
        if not len(values):
            return cls(np.empty(0))
        # values themselves, so that integers and ties are never split by rounding
        last = np.ceil(np.arange(1, MAX_BINS + 1) * (len(values) / MAX_BINS)).astype(np.int64) - 1
        ends = np.unique(values[np.clip(last, 0, len(values) - 1)].astype(np.float64))
        return cls(np.concatenate([[np.nextafter(np.float64(values[0]), -np.inf)], ends]))

    def counts(self, values: NDArray[np.floating]) -> NDArray[np.int64]:
        """Return the number of values in each bin, (b,).

        Args:
            values: finite, ascending, (n,).
        """
        # in the type of the values, both to compare exactly and to keep the search quick
        below = np.searchsorted(values, self._edges_as(values.dtype), side="right")
        return np.diff(below, prepend=0, append=len(values)).astype(np.int64)

    def _edges_as(self, dtype: np.dtype[np.floating]) -> NDArray[np.floating]:
        edges = self.edges.astype(dtype)
        # the end of the first bin may round up to the smallest value
        if len(edges) > 1 and edges[0] > self.edges[0]:
            edges[0] = np.nextafter(edges[0], dtype.type(-np.inf))
        return edges


def joined_bins(reference: int, samples: int) -> int:
    """Return into how many bins values are joined at most, but for missing ones and those beyond.

    Args:
        reference: number of the training samples.
        samples: number of the others.
    """
    return min(MAX_BINS, max(2, min(reference, samples) // MIN_EXPECTED))


def joined(
    reference: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the counts in bins that are joined with neighbours where there are few samples.

    As many are left as are expected to hold `MIN_EXPECTED` samples each, two at least; bins that
    the reference has nothing in, as values beyond it, stay on their own from `MIN_BEYOND` samples.

    Args:
        reference: counts of the training samples, (b,).
        counts: of the others, (b,).

    Returns:
        Both, (c,).
    """
    alone = (reference == 0) & (counts >= MIN_BEYOND)
    if alone.all():
        return reference, counts
    wanted = joined_bins(int(reference.sum()), int(counts.sum()))
    shared = reference[~alone]
    # the middle of each bin on the scale of shares; empty bins are with the one beside them
    middle = np.cumsum(shared) - shared / 2
    groups = np.minimum((middle * wanted / max(1, shared.sum())).astype(np.int64), wanted - 1)
    if (shared > 0).sum() <= wanted:
        groups = np.maximum(np.cumsum(shared > 0) - 1, 0)
    both = [
        np.concatenate([np.bincount(groups, own[~alone]).astype(np.int64), own[alone]])
        for own in (reference, counts)
    ]
    return both[0], both[1]


def pooled(
    reference: NDArray[np.int64], counts: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the counts of classes, with rare ones counted together.

    Rare is what is expected to be predicted less than `MIN_EXPECTED_OF_CLASS` times.

    Args:
        reference: predictions of each class in training, (c,).
        counts: of the others, (c,).
    """
    if not reference.sum():
        return reference, counts
    rare = reference * (counts.sum() / reference.sum()) < MIN_EXPECTED_OF_CLASS
    both = [np.append(own[~rare], own[rare].sum()) for own in (reference, counts)]
    return both[0], both[1]


def psi(reference: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Return the population stability index of counts.

    The sum of (q - p) ln(q / p) over bins that are not empty in both, with half a sample added to
    each count. Siddiqi (2006), Credit Risk Scorecards, Wiley.

    Args:
        reference: counts of the training samples, (b,).
        counts: of the others, (b,).

    Returns:
        0 for equal shares; 0 if both are empty.
    """
    held = (reference > 0) | (counts > 0)
    p, q = (own[held] + _PSEUDOCOUNT for own in (reference, counts))
    p, q = p / p.sum(), q / q.sum()
    return float(np.sum((q - p) * np.log(q / p)))


def jensen_shannon(reference: NDArray[np.int64], counts: NDArray[np.int64]) -> float:
    """Return the Jensen-Shannon distance of counts: the root of the divergence in bits, 0 to 1.

    Endres and Schindelin (2003), doi:10.1109/TIT.2003.813506.

    Args:
        reference: counts of the training samples, (b,).
        counts: of the others, (b,).

    Returns:
        1 if only one is empty; 0 if both are.
    """
    totals = reference.sum(), counts.sum()
    if not all(totals):
        return float(any(totals))
    p, q = reference / totals[0], counts / totals[1]
    middle = (p + q) / 2
    divergence = 0.0
    for own in (p, q):
        held = own > 0
        divergence += float(np.sum(own[held] * np.log2(own[held] / middle[held]))) / 2
    return float(np.sqrt(np.clip(divergence, 0, 1)))
