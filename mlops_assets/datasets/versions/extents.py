"""Extents of data in space and time, as boxes and intervals.

Callers decide which files and samples they are of.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.specification.dataset import DatasetSpecification

CELL = 2.0  # degrees that the edge of a coarse grid may exceed the globe
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
    # the gap there is wider than over the antimeridian
    if len(gaps) and gaps.max() > first + 360 - last:
        first, last = starts[gaps.argmax() + 1], reach[gaps.argmax()]
    return [float(first), float(south.min()), float(last), float(north.max())]


def on_globe(box: Sequence[float]) -> list[float] | None:
    """Return a box in degrees as GeoJSON has it, None if it is not a box in degrees.

    Args:
        box: west, south, east, north; longitudes of -180…180 or 0…360, edges at most a cell beyond
            the globe.
    """
    west, south, east, north = box
    fits = (
        np.isfinite(box).all() and min(west, east) >= -180 - CELL and max(west, east) <= 360 + CELL
    )
    if not (fits and -90 - CELL <= south <= north <= 90 + CELL):
        return None
    if east - west >= 360:
        west, east = -180.0, 180.0
    west, east = (
        degrees if -180 <= degrees <= 180 else (degrees + 180) % 360 - 180
        for degrees in (west, east)
    )
    return [west, max(south, -90.0), east, min(north, 90.0)]


def declared_interval(specification: DatasetSpecification) -> Interval | None:
    """Return the interval that a dataset declares, or None where it declares neither end."""
    declared = specification.extent
    if declared is None or declared.interval == [None, None]:
        return None
    return declared.interval[0], declared.interval[1]
