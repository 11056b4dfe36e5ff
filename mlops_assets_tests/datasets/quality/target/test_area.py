"""Polygons of a target area, and points in them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from shapely import MultiPolygon

from mlops_assets.datasets.quality.target.area import area_of, inside, points_in
from mlops_assets.datasets.specification.target_area import TargetArea
from mlops_assets.errors import SpecificationError

ACROSS = [[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]


def area(document: object) -> MultiPolygon:
    found = area_of(TargetArea(area="a.geojson"), json.dumps(document).encode())
    assert found is not None
    return found


def polygon(*rings: list[list[int]]) -> dict[str, object]:
    return {"type": "Polygon", "coordinates": list(rings)}


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(area_of(TargetArea(bbox=[179, 0, -179, 1]), None), id="bbox"),
        pytest.param(area(polygon(ACROSS)), id="as many programs write it"),
        pytest.param(area(polygon([[x % 360, y] for x, y in ACROSS])), id="beyond 180"),
        pytest.param(
            area(
                {
                    "type": "FeatureCollection",
                    "features": [
                        {"type": "Feature", "properties": {}, "geometry": polygon(ring)}
                        for ring in (
                            [[179, 0], [180, 0], [180, 1], [179, 1], [179, 0]],
                            [[-180, 0], [-179, 0], [-179, 1], [-180, 1], [-180, 0]],
                        )
                    ],
                }
            ),
            id="cut in two, RFC 7946",
        ),
    ],
)
def test_an_area_across_the_antimeridian_is_two_degrees_wide(found: MultiPolygon) -> None:
    points = points_in(found, 2000, 0)
    assert (np.abs(points[:, 0]) >= 179).all()
    assert 0.4 < (points[:, 0] > 0).mean() < 0.6
    within = inside(found, np.array([[179.5, 0.5], [-179.5, 0.5], [0.0, 0.5]]))
    assert within.tolist() == [True, True, False]


def test_the_whole_globe_is_not_nothing() -> None:
    whole = area(polygon([[-180, -90], [180, -90], [180, 90], [-180, 90], [-180, -90]]))
    assert inside(whole, np.array([[0.0, 0.0], [-170.0, 60.0]])).all()


def test_points_are_as_dense_everywhere_on_the_ground_and_none_is_in_a_hole() -> None:
    hole = [[2, 10], [8, 10], [8, 20], [2, 20], [2, 10]]
    found = area(polygon([[0, 0], [10, 0], [10, 80], [0, 80], [0, 0]], hole))
    points = points_in(found, 20_000, 0)
    x, y = points.T
    assert not ((x > 2) & (x < 8) & (y > 10) & (y < 20)).any()
    edges = np.sin(np.radians([0, 10, 20, 40, 80]))
    ground = np.diff(edges) * [1, 0.4, 1, 1]
    shares = np.histogram(y, [0, 10, 20, 40, 80])[0] / len(points)
    np.testing.assert_allclose(shares, ground / ground.sum(), atol=0.015)
    np.testing.assert_array_equal(points, points_in(found, 20_000, 0))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "double quotes"),
        (b"[" * 100_000, "recursion"),
        (b'{"type": "Point", "coordinates": [1, 2]}', "has Point; an area is made of polygons"),
        (b'{"type": "Polygon", "coordinates": [[[5e5, 4e6], [1, 2], [3, 4]]]}', "reproject"),
        (b'{"type": "Polygon", "coordinates": [[[1e308, 0], [-1e308, 1], [1, 1]]]}', "reproject"),
        (b'{"type": "Feature", "geometry": null}', "has nothing; an area is made of polygons"),
        (
            b'{"type": "FeatureCollection", "features": []}',
            "has nothing; an area is made of polygons",
        ),
    ],
)
def test_a_file_that_is_no_area_is_named(content: bytes, reason: str) -> None:
    with pytest.raises(SpecificationError, match=rf"target_area a\.geojson .*{reason}"):
        area_of(TargetArea(area="a.geojson"), content)
