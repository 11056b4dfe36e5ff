"""Confidence intervals by resampling what is independent, from sums of each unit.

Values are read only once.

The bootstrap of clusters: Field and Welsh (2007), Bootstrapping clustered data, Journal of the
Royal Statistical Society B 69, 369-390. Units are chosen by `slices.independent_units`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_array

CONFIDENCE = 0.95
REPLICATES = 1000
SEED = 0
MIN_UNITS = 5  # fewer give no estimate of how units differ
# more are drawn together in bags, as many as this; that changes the interval by a hundredth
MAX_UNITS = 10_000
AT_ONCE = 4_000_000  # numbers of a block of replicates; bounds memory

Interval = tuple[float, float]


def bags(codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Put units together at random, so that there are `MAX_UNITS` at most.

    Fewer stay as they are.
    """
    units = int(codes.max()) + 1 if len(codes) else 0
    if units <= MAX_UNITS:
        return codes
    return (np.random.default_rng(SEED).permutation(units) % MAX_UNITS)[codes]


def intervals(
    sums: NDArray[np.number] | csr_array,
    measure: Callable[[NDArray[np.float64]], dict[str, NDArray[np.float64]]],
) -> dict[str, Interval]:
    """Return the interval of each metric: percentiles over units drawn with replacement.

    Args:
        sums: terms of the metrics, summed over each unit: (units, k), an array or a SciPy sparse
            array. Units without any measurement have only zeros, and are not drawn.
        measure: returns the metrics of sums over drawn units: (n, k) → (n,) for each metric.

    Returns:
        Nothing if there are fewer than `MIN_UNITS`.
    """
    held = np.flatnonzero(np.asarray(abs(sums).sum(axis=1)).ravel())
    if len(held) < MIN_UNITS:
        return {}
    sums = sums[held]
    rng = np.random.default_rng(SEED)
    step = max(1, AT_ONCE // max(sums.shape))
    parts = []
    for start in range(0, REPLICATES, step):
        count = min(step, REPLICATES - start)
        drawn = rng.integers(len(held), size=(count, len(held))) + np.arange(count)[:, None] * len(
            held
        )
        times = np.bincount(drawn.ravel(), minlength=count * len(held)).reshape(count, len(held))
        parts.append(measure(np.asarray((sums.T @ times.T.astype(np.float64)).T)))
    tails = 50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)
    found = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    return {
        name: tuple(np.nanpercentile(values, tails).tolist())
        for name, values in found.items()
        if not np.isnan(values).all()
    }


def held_units(sums: NDArray[np.number] | csr_array) -> int:
    """Return the number of units with any measurement.

    Args:
        sums: (units, k), as in `intervals`.
    """
    return int(np.count_nonzero(np.asarray(abs(sums).sum(axis=1)).ravel()))
