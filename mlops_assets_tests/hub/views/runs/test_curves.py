"""Curves of runs: parts that follow each other, resumed runs, points that stand out."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlops_assets.hub.views.runs import curves
from mlops_assets.hub.views.runs.curves import Curves, run_curves
from mlops_assets.hub.views.runs.downsampling import kept_points
from mlops_assets.registry import Registry
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import new_run


@given(
    st.lists(st.floats(allow_infinity=False, width=32), min_size=1, max_size=300),
    st.integers(4, 40),
)
def test_what_stands_out_is_kept(values: list[float], limit: int) -> None:
    found = np.array(values, dtype=np.float64)
    kept = kept_points(found, limit)
    assert len(kept) <= max(limit, 4) and list(kept) == sorted(set(kept))
    assert {kept[0], kept[-1]} == {0, len(values) - 1}
    known = found[~np.isnan(found)]
    if known.size:
        assert np.nanmin(found[kept]) == known.min() and np.nanmax(found[kept]) == known.max()


def points(found: Curves) -> dict[str, list[tuple[int, float | None]]]:
    return {curve.name: list(zip(curve.steps, curve.values, strict=True)) for curve in found.curves}


def test_a_run_is_followed_from_point_to_point(store: Store) -> None:
    registry = store.registry
    registry.start_run(new_run("a"))
    assert run_curves(store, "a").next == 0
    registry.log("a", [(0, "loss", 0, 1.0, 0.0), (1, "f1", 0, 0.5, 0.0)])
    first = run_curves(store, "a")
    registry.log("a", [(2, "loss", 1, 0.5, 0.0)])
    second = run_curves(store, "a", first.next)
    assert points(first) == {"f1": [(0, 0.5)], "loss": [(0, 1.0)]}
    assert points(second) == {"loss": [(1, 0.5)]} and second.next == 3
    assert run_curves(store, "a", second.next).curves == []
    # points after the checkpoint are forgotten, and logged again: the attempt tells
    registry.finish_run("a", "failed")
    registry.resume_run("a", 1)
    registry.log("a", [(1, "loss", 1, 0.25, 0.0), (2, "loss", 2, 0.125, 0.0)])
    again = run_curves(store, "a", second.next)
    assert (again.attempt, again.status) == (2, "running")
    assert points(run_curves(store, "a")) == {"loss": [(0, 1.0), (1, 0.25), (2, 0.125)]}


def test_long_curves_have_fewer_points_and_the_number_of_all(store: Store) -> None:
    store.registry.start_run(new_run("a"))
    values = [math.sin(step) for step in range(500)]
    values[321] = 99.0
    logged = [(step, "loss", step, value, 0.0) for step, value in enumerate(values)]
    store.registry.log("a", logged)
    (curve,) = run_curves(store, "a", limit=20).curves
    assert (
        curve.logged == 500
        and len(curve.steps) <= 20
        and (321, 99.0) in zip(curve.steps, curve.values, strict=True)
    )


def test_clients_of_one_run_share_a_read(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.registry.start_run(new_run("a"))
    store.registry.log("a", [(0, "loss", 0, 1.0, 0.0)])
    reads: list[Any] = []
    original = Registry.points_since

    def counted(self: Registry, *arguments: Any) -> Any:
        reads.append(arguments)
        return original(self, *arguments)

    monkeypatch.setattr(Registry, "points_since", counted)
    assert [run_curves(store, "a") for _ in range(20)][-1].next == 1
    assert len(reads) == 1
    store.registry.log("a", [(1, "loss", 1, 0.5, 0.0)])
    assert points(run_curves(store, "a"))["loss"] == [(0, 1.0), (1, 0.5)]
    assert len(reads) == 2


def test_values_that_are_not_finite_are_gaps(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.registry.start_run(new_run("a"))
    logged = [(0, "loss", 0, math.nan, 0.0), (1, "loss", 1, math.inf, 0.0)]
    monkeypatch.setattr(Registry, "points_since", lambda *_arguments: logged)
    assert points(run_curves(store, "a")) == {"loss": [(0, None), (1, None)]}
    assert curves.MAX_POINTS >= 2_000
