"""Where and when data is, as boxes and intervals; which files and samples they are of is decided by the callers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.specification import DatasetSpecification

Interval = tuple[datetime | None, datetime | None]


def enclosing(boxes: Sequence[Sequence[float]] | NDArray[np.float64]) -> list[float]:
    """Return the smallest box around boxes; west > east across the antimeridian (RFC 7946, 5.2)."""
    west, south, east, north = np.array(boxes, dtype=np.float64).T
    across = west > east
    starts = np.concatenate([np.where(across, -180.0, west), west[across]])
    ends = np.concatenate([east, np.full(across.sum(), 180.0)])
    order = np.argsort(starts, kind="stable")
    starts, reach = starts[order], np.maximum.accumulate(ends[order])
    gaps = starts[1:] - reach[:-1]
    first, last = starts[0], reach[-1]
    if len(gaps) and gaps.max() > first + 360 - last:  # what is left out there is more than over the antimeridian
        first, last = starts[gaps.argmax() + 1], reach[gaps.argmax()]
    return [float(first), float(south.min()), float(last), float(north.max())]


def declared_interval(specification: DatasetSpecification) -> Interval | None:
    """Return the interval that a dataset declares, or None where it declares neither end."""
    declared = specification.extent
    if declared is None or declared.interval == [None, None]:
        return None
    return declared.interval[0], declared.interval[1]
