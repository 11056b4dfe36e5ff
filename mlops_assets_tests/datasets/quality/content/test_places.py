"""Centres and footprints of samples of each kind, in pixels and in coordinates."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops_assets.datasets.quality.content.places import APART, places_of
from mlops_assets.datasets.versions.sample_shape import (
    ImageShape,
    PatchShape,
    RowShape,
    SampleShape,
    WindowShape,
)
from mlops_assets_tests.datasets.quality.findings.test_leakage import UTM31, files, samples_at, utm


@pytest.mark.parametrize(
    ("shape", "size", "box"),
    [
        (PatchShape(size=5), (5, 5), (18, 23, 28, 33)),  # around row 20, column 30
        (WindowShape(size=8), (8, 8), (20, 28, 30, 38)),  # from row 20, column 30
        # of a file of 100 x 200 pixels
        (
            ImageShape(height=60, width=40),
            (60, 40),
            (20, 80, 80, 120),
        ),
    ],
)
def test_footprints_are_where_samples_are_read(
    shape: SampleShape, size: tuple[int, int], box: tuple[int, int, int, int]
) -> None:
    top, bottom, left, right = box
    samples = samples_at([("plain", 20, 30), ("placed", 20, 30)], "te")
    extent: dict[str, Any] = {"height": 100, "width": 200}
    manifest = files({"path": "plain", **extent}, utm("placed", 500_000, 4_700_000, **extent))
    places = places_of(samples, manifest, shape)
    assert places.size == size
    plain = places.corners(np.array([0]), places.size)[0]
    assert (plain.min(axis=0).tolist(), plain.max(axis=0).tolist()) == (
        [left, top],
        [right, bottom],
    )
    placed = places.corners(np.array([1]), places.size)[0]
    assert placed.min(axis=0).tolist() == [500_000 + 10 * left, 4_700_000 - 10 * bottom]
    assert placed.max(axis=0).tolist() == [500_000 + 10 * right, 4_700_000 - 10 * top]


def test_a_turned_footprint_is_turned() -> None:
    # rows go east, columns north
    turned = {
        "path": "a",
        "crs": UTM31,
        "transform": [0, 10, 500_000, 10, 0, 4_700_000],
    }
    places = places_of(samples_at([("a", 3, 0)], "t"), files(turned), WindowShape(size=2))
    corners = places.corners(np.array([0]), (2, 2))[0]
    assert (corners.min(axis=0).tolist(), corners.max(axis=0).tolist()) == (
        [500_030, 4_700_000],
        [500_050, 4_700_020],
    )


def test_scenes_without_a_place_are_laid_out_far_from_each_other() -> None:
    samples = samples_at([("a", 0, 0), ("b", 0, 0), ("c", 0, 0)], "ttt")
    manifest = files({"path": "a", "scene": "one"}, {"path": "b", "scene": "one"}, {"path": "c"})
    places = places_of(samples, manifest, PatchShape(size=1))
    assert places.points(np.arange(3))[:, 0].tolist() == [0, 0, APART]
    assert places.corners(np.arange(3), (1, 1))[:, 0, 0].tolist() == [0, 0, APART]


def test_rows_have_no_footprint() -> None:
    places = places_of(samples_at([("t", 0, -1)], "t"), files({"path": "t"}), RowShape())
    assert (places.size, places.in_scenes, places.on_ground.tolist()) == ((0, 0), False, [False])
