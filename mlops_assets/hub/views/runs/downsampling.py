"""Fewer points of a curve, among them all that stand out."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray


def kept_points(values: NDArray[np.float64], limit: int) -> NDArray[np.intp]:
    """Return which points of a curve are drawn.

    The curve is cut into equal parts, of which each keeps its smallest and its largest value, as a
    line drawn through all points would fill that height at its width (M4 without first and last:
    Jugel et al., "M4: A Visualization-Oriented Time Series Data Aggregation", VLDB 2014). The first
    and the last point stay.

    Args:
        values: in the order logged; NaN where there is none.
        limit: points at most, 4 or more.

    Returns:
        Their indices, ascending.
    """
    count = len(values)
    if count <= limit:
        return np.arange(count)
    parts = (limit - 2) // 2
    edges = np.linspace(0, count, parts + 1).astype(np.intp)
    unknown = np.isnan(values)
    low = np.where(unknown, np.inf, values)
    high = np.where(unknown, -np.inf, values)
    kept = {0, count - 1}
    for start, end in pairwise(edges.tolist()):
        kept.add(start + int(low[start:end].argmin()))
        kept.add(start + int(high[start:end].argmax()))
    return np.array(sorted(kept), dtype=np.intp)
