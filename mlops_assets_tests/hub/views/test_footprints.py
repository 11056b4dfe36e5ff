"""Maps of data versions: extents, clusters, and places that are hard to draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import shapely

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.hub.views.footprint_features import (
    FootprintQuery,
    footprint_features,
)
from mlops_assets.hub.views.footprints import Outline, data_footprints, outlined
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, table_specification

PLACED = Reference("placed", "v1")
Land = Callable[..., Commit]


def land_points(
    land_table: Land, longitude: np.ndarray[Any, Any], latitude: np.ndarray[Any, Any]
) -> None:
    """Commit a table of places, whose crops take turns."""
    count = len(longitude)
    frame = pd.DataFrame(
        {
            "lon": longitude,
            "lat": latitude,
            "value": np.random.default_rng(0).random(count),
            "crop": np.resize(["wheat", "maize"], count),
        }
    )
    table = {"label": "crop", "longitude": "lon", "latitude": "lat"}
    source = {"url": "landing/placed", "layout": "table", "table": table}
    land_table(frame, table_specification("placed", source=source))


def features(store: Store, reference: Reference, **query: Any) -> list[dict[str, Any]]:
    """The features of a query."""
    found: Any = footprint_features(store, reference, FootprintQuery(**query))
    assert found["type"] == "FeatureCollection"
    return list(found["features"])


def test_samples_that_would_overlap_are_one_feature_and_none_is_lost(
    store: Store, land_table: Land
) -> None:
    rng = np.random.default_rng(1)
    land_points(land_table, rng.normal(10, 1, 3000), rng.normal(50, 1, 3000))
    for zoom, limit in ((0, 2000), (7, 2000), (7, 40), (22, 5000)):
        found = features(store, PLACED, zoom=zoom, limit=limit, by="class")
        assert len(found) <= limit
        counts = [each["properties"].get("count", 1) for each in found]
        assert sum(counts) == 3000
        parts = pd.DataFrame(
            [each["properties"]["parts"] for each in found if "parts" in each["properties"]]
        ).sum()
        singles = [each["properties"]["category"] for each in found
                   if "index" in each["properties"]]  # fmt: skip
        for crop in ("wheat", "maize"):
            assert parts.get(crop, 0) + singles.count(crop) == 1500
    assert len(features(store, PLACED, zoom=0, limit=2000)) < 10
    only = features(store, PLACED, zoom=22, by="class", only="wheat", limit=5000)
    assert {each["properties"]["category"] for each in only} == {"wheat"} and len(only) == 1500


def test_a_version_across_the_antimeridian_has_a_narrow_extent(
    store: Store, land_table: Land
) -> None:
    longitude = np.linspace(178, 182, 401)
    land_points(land_table, (longitude + 180) % 360 - 180, np.full(401, -17.5))
    view = data_footprints(store, PLACED)
    assert view.extent == pytest.approx((178, -17.5, -178, -17.5))
    assert (view.placed, view.unplaced) == (401, 0)
    # what a map asks for whose longitudes continue beyond 180
    inside = features(store, PLACED, box=(179.5, -20, 180.5, -15))
    assert len(inside) == 101
    assert len(features(store, PLACED, box=(-181, -20, -179.5, -15))) == 151
    assert len(features(store, PLACED, box=(-400, -90, 400, 90))) == 401


def test_windows_of_a_projected_scene_lie_within_its_outline(
    store: Store, land_scenes: Land
) -> None:
    source = {"url": "landing/tiles", "layout": "scenes", "scenes": {"size": 16, "read": "windows"}}
    specification = scenes_specification("tiles", source=source, split={"method": "random"})
    land_scenes(specification, crs="EPSG:32632")
    reference = Reference("tiles", "v1")
    view = data_footprints(store, reference)
    (outline,) = view.outlines
    assert outline.name == "images/a.tif" and not view.classes
    frame = shapely.box(*outline.box).buffer(1e-6)
    found = features(store, reference)
    polygons = [shapely.geometry.shape(each["geometry"]) for each in found]
    assert len(polygons) == 9 and all(frame.covers(polygon) for polygon in polygons)
    # 160 m at 42° north
    assert polygons[0].bounds[3] - polygons[0].bounds[1] == pytest.approx(160 / 111_000, rel=0.02)
    assert shapely.union_all(polygons).area == pytest.approx(9 * polygons[0].area, rel=1e-3)


def test_a_version_without_places_says_so_or_shows_the_declared_extent(
    store: Store, land_table: Land
) -> None:
    view = data_footprints(store, Reference("fields", "v1"))
    assert view.extent is None and "longitude and latitude" in view.note and not view.source
    assert features(store, Reference("fields", "v1")) == []
    box = [170.0, -20.0, -170.0, -10.0]
    extent = {"bbox": box, "interval": [None, None], "approximate": True}
    land_table(None, table_specification("declared", extent=extent, source={
        "url": "landing/declared", "layout": "table", "table": {"label": "crop"}}))  # fmt: skip
    view = data_footprints(store, Reference("declared", "v1"))
    assert view.extent == tuple(box) and view.outlines[0].approximate
    assert "approximate extent" in view.note


def test_outlines_alone_are_a_map_too() -> None:
    view = outlined("maps", [Outline("a", (1, 2, 3, 4)), Outline("b", (5, 0, 6, 1), "/models/b")])
    assert (view.extent, outlined("maps", []).extent) == ((1, 0, 6, 4), None)
