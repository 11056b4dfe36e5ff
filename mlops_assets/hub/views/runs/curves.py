"""The logged metrics of a run as curves, whole or from a point on.

Clients that follow a run ask again and again for the points after those that they have. They share
one read of the registry for each state of the run.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mlops_assets.hub.views.kept import SharedReads
from mlops_assets.hub.views.runs.downsampling import kept_points
from mlops_assets.registry import Run
from mlops_assets.registry.runs import LoggedPoint
from mlops_assets.store import Store

MAX_POINTS = 2_000  # of a curve
MAX_READ = 2_000_000  # points of a run; of more, the first are drawn
RUNNING = "running"

Value = float | None


@dataclass(frozen=True)
class Curve:
    """A logged metric.

    Attributes:
        name: of the metric.
        logged: number of its points, of which some may be left out below.
        steps: of its points.
        values: of its points; None where it is not a finite number.
    """

    name: str
    logged: int
    steps: list[int]
    values: list[Value]


@dataclass(frozen=True)
class Curves:
    """Logged metrics of a run.

    Attributes:
        run_id: of the run.
        status: of the run; more points follow only while it is `running`.
        attempt: number of times it was started; after another start, ask for all points again.
        first: number of the first point that was asked for.
        next: number of the point to ask for next.
        curves: by name.
    """

    run_id: str
    status: str
    attempt: int
    first: int
    next: int
    curves: list[Curve]


_curves: SharedReads[Curves] = SharedReads(64)


def run_curves(store: Store, run_id: str, first: int = 0, limit: int = MAX_POINTS) -> Curves:
    """Return the logged metrics of a run, from a point on.

    Args:
        store: has the run.
        run_id: its id, or the beginning of it.
        first: number of the first point; 0 for all of them.
        limit: points of each curve at most; those that stand out are kept.

    Raises:
        NotFound: there is no such run.
    """
    run = store.registry.run(run_id)
    end = store.registry.next_seq(run.run_id)
    # whoever gets here may see the run, so that the answer is the same for all of them
    state = (store.registry.url, run.run_id, run.status, run.attempts, first, end, limit)
    return _curves.get(state, lambda: _read(store, run, first, end, limit))


def _read(store: Store, run: Run, first: int, end: int, limit: int) -> Curves:
    count = min(max(end - first, 0), MAX_READ)
    points = store.registry.points_since(run.run_id, first, count)
    by_name: dict[str, list[LoggedPoint]] = {}
    for point in points:
        by_name.setdefault(point[1], []).append(point)
    curves = [_curve(name, found, limit) for name, found in sorted(by_name.items())]
    following = points[-1][0] + 1 if points else max(first, end)
    return Curves(run.run_id, run.status, run.attempts, first, following, curves)


def _curve(name: str, points: Sequence[LoggedPoint], limit: int) -> Curve:
    found = np.array([math.nan if point[3] is None else point[3] for point in points])
    kept = kept_points(found, limit)
    values = [float(value) if math.isfinite(value) else None for value in found[kept]]
    return Curve(name, len(points), [points[index][2] for index in kept], values)
