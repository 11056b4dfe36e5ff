"""The distance of test samples from training, in pixels and in metres."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlops_assets.datasets.quality.content.places import earth_centred, places_of
from mlops_assets.datasets.quality.findings.separation import (
    Separation,
    separation,
    separation_check,
)
from mlops_assets.datasets.specification.dataset import QualityThresholds
from mlops_assets.datasets.versions.sample_shape import (
    PatchShape,
    RowShape,
    SampleShape,
    WindowShape,
)
from mlops_assets_tests.datasets.quality.findings.test_leakage import (
    UTM31,
    files,
    located,
    samples_at,
    utm,
)


def measured(
    samples: Any, manifest: Any, shape: SampleShape, **thresholds: float
) -> Separation | None:
    places = places_of(samples, manifest, shape)
    return separation(
        places, samples["split"].to_numpy(dtype=object), QualityThresholds(**thresholds)
    )


@pytest.mark.parametrize(
    ("a", "b", "metres"),  # geodesics as PROJ 9 has them
    [
        ((10.0, 0.0), (10.0, 0.01), 1105.74276),
        ((10.0, 45.0), (10.0, 45.01), 1111.31875),
        ((10.0, 60.0), (10.01, 60.0), 558.00002),
        ((179.999, 0.0), (-179.999, 0.0), 222.63898),  # across the antimeridian
        ((0.0, 89.9999), (180.0, 89.9999), 22.33880),  # across the pole
    ],
)
def test_distances_on_the_ellipsoid(
    a: tuple[float, float], b: tuple[float, float], metres: float
) -> None:
    points = earth_centred(np.array([a[0], b[0]]), np.array([a[1], b[1]]))
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(metres, rel=1e-6)


def test_pixels_are_counted_within_scenes() -> None:
    samples = samples_at([("a", 0, 0), ("a", 3, 4), ("b", 0, 0), ("a", 0, 6)], "teee")
    found = measured(samples, files({"path": "a"}, {"path": "b"}), PatchShape(size=5))
    assert found is not None
    assert (found.unit, found.distances.tolist(), found.asked, found.limit) == ("px", [5, 6], 3, 5)


def test_metres_are_counted_across_scenes() -> None:
    manifest = files(utm("one", 500_000, 4_700_000), utm("far", 500_000, 4_730_000))
    shape = WindowShape(size=8)
    samples = located(
        samples_at([("one", 0, 0), ("one", 0, 8), ("far", 0, 0)], "tee"), manifest, shape
    )
    found = measured(samples, manifest, shape)
    assert found is not None
    assert found.unit == "m"
    # the scale of UTM is 0.9996 here
    np.testing.assert_allclose(found.distances, [80.03, 30012], rtol=1e-4)
    assert found.limit == pytest.approx(80, rel=0.02)
    assert separation_check(found).passed  # side by side is no nearness


def test_rows_have_a_limit_of_ten_metres_and_need_a_place() -> None:
    rows = samples_at([("t", 0, -1), ("t", 1, -1)], "te")
    assert measured(rows, files({"path": "t"}), RowShape()) is None
    rows = rows.assign(longitude=[10, 10.00005], latitude=50)
    found = measured(rows, files({"path": "t"}), RowShape())
    assert found is not None
    assert (found.limit, found.distances[0]) == (10, pytest.approx(3.58, rel=0.01))
    assert not separation_check(found).passed


def test_the_threshold_can_be_declared() -> None:
    samples = samples_at([("a", 0, 0), ("a", 3, 4), ("a", 30, 40)], "tee")
    for limit, passes in ((5.0, True), (5.1, False)):
        found = measured(samples, files({"path": "a"}), PatchShape(size=1), min_distance=limit)
        check = separation_check(found)
        assert (check.passed, check.blocking) == (passes, False)
        assert (check.values["least"], check.values["median"]) == (5, 27.5)
        assert check.values["nearer"] == (0 if passes else 0.5)


def test_test_samples_without_training_in_their_scene_are_no_distance() -> None:
    samples = samples_at([("a", 0, 0), ("b", 0, 0)], "te")
    found = measured(samples, files({"path": "a"}, {"path": "b"}), PatchShape(size=1))
    assert found is not None
    assert (len(found.distances), found.asked) == (0, 1)
    assert separation_check(found).passed


def test_unknown_places_are_not_measured() -> None:
    assert separation_check(None).passed


@pytest.mark.parametrize(
    ("crs", "x", "y", "expected"),
    [
        (UTM31, 500_000, 4_700_000, 10),
        ("EPSG:3857", 1_000_000, 8_400_000, 5.0),  # at 60 degrees
        ("EPSG:2264", 2_000_000, 700_000, 3.05),  # feet
    ],
)
def test_pixels_are_measured_on_the_ground(crs: str, x: float, y: float, expected: float) -> None:
    manifest = files(utm("a", x, y, crs))
    samples = located(samples_at([("a", 0, 0)], "t"), manifest, PatchShape(size=1))
    pixels = places_of(samples, manifest, PatchShape(size=1)).pixels
    np.testing.assert_allclose(pixels, [[expected, expected]], rtol=0.01)
