"""What a declaration of an area may have, and the outlines that GeoJSON gives."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from shapely.geometry import shape

from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.areas.geometry import outline_of, read_outline
from mlops_assets.prediction.areas.specification import AreaSpecification

SQUARE = {"type": "Polygon", "coordinates": [[[9, 47], [10, 47], [10, 48], [9, 48], [9, 47]]]}
EAST = {"type": "Polygon", "coordinates": [[[10, 47], [11, 47], [11, 48], [10, 48], [10, 47]]]}


def area(source: dict[str, Any] | None = None, **changes: Any) -> AreaSpecification:
    declared = {"name": "valley", "model": "crops", "source": source or {"url": "landing/scenes"}}
    return AreaSpecification.model_validate(declared | changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source": {"url": "stac+https://api.example/v1"}, "area": SQUARE}, "needs 'collections'"),
        (
            {"source": {"url": "stac+https://api.example/v1", "collections": ["s2"]}},
            "needs 'area'",
        ),
        ({"source": {"url": "landing/scenes", "query": "eo:cloud_cover < 20"}}, "of a STAC API"),
        ({"source": {"url": "ftp://host/scenes"}}, "on ftp:// are not supported"),
        ({"source": {"url": "../other/scenes"}}, "leads out of the workspace"),
        ({"source": {"url": "https://host/item.json?sig=abc"}}, "has a secret"),
        ({"source": {"url": "a", "datetime": "last week"}}, "is not a time or interval"),
        ({"source": {"url": "a", "datetime": "2024-02-01/2024-01-01"}}, "ends before it starts"),
        ({"source": {"url": "a", "datetime": "../.."}}, "open on both sides"),
        ({"grid": {"crs": "EPSG:32632", "resolution": 10, "bounds": [5, 0, 1, 9]}}, "left < right"),
        (
            {"grid": {"crs": "EPSG:32632", "resolution": 10, "bounds": [5, 0, float("inf"), 9]}},
            "left < right",
        ),
        ({"mask": {"asset": "scl", "invalid": []}}, "at least 1 item"),
        ({"alias": "v3"}, "looks like a version"),
        ({"max_outside": 20}, "less than or equal to 1"),
        ({"name": "valley-crops"}, "cannot be used"),
    ],
)
def test_a_wrong_declaration_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        area(**changes)


def test_days_begin_with_the_start_else_with_the_interval_of_the_source() -> None:
    source = {"url": "landing/scenes", "datetime": "2024-03-01T23:30:00-02:00/2024-06-30"}
    assert area(source).first_day == date(2024, 3, 2)
    # also as Dagster keeps it, with every default
    stored = AreaSpecification.model_validate(area(source).model_dump(mode="json"))
    assert stored.first_day == date(2024, 3, 2)
    assert area(source, start="1992-06-12").first_day == date(1992, 6, 12)
    assert area().first_day == date(2015, 1, 1)
    month = area({"url": "landing/scenes", "datetime": "2024-06"})
    assert (month.first_day, month.last_day) == (date(2024, 6, 1), date(2024, 6, 30))
    # the sensor goes back no further than its days, and ends with the interval
    assert area(source).watched_interval(date(2024, 6, 15)) == (
        date(2024, 5, 16),
        date(2024, 6, 15),
    )
    assert area(source).watched_interval(date(2024, 7, 15)) == (
        date(2024, 6, 15),
        date(2024, 6, 30),
    )


def test_the_same_outputs_are_the_same_map() -> None:
    assert area(outputs=["entropy", "confidence"]).outputs == ["class", "confidence", "entropy"]


def test_polygons_of_a_collection_are_one_outline(tmp_path: Path) -> None:
    features = [{"type": "Feature", "properties": {}, "geometry": each} for each in (SQUARE, EAST)]
    found = outline_of({"type": "FeatureCollection", "features": features}, "it")
    assert found["type"] == "Polygon"
    path = tmp_path / "area.geojson"
    path.write_bytes(b'\xff{"type"')
    with pytest.raises(SpecificationError, match=r"area\.geojson cannot be read"):
        read_outline(path)
    path.write_text('{"type"')
    with pytest.raises(SpecificationError, match=r"area\.geojson is not valid JSON"):
        read_outline(path)


def test_an_outline_across_the_antimeridian_is_cut_in_two_there() -> None:
    jumping = [[179, 0], [-179, 0], [-179, 1], [179, 1], [179, 0]]
    found = outline_of({"type": "Polygon", "coordinates": [jumping]}, "it")
    assert found["type"] == "MultiPolygon"
    assert shape(found).area == pytest.approx(2)
    assert shape(found).bounds == (-180, 0, 180, 1)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"type": "Point", "coordinates": [9, 47]}, "it has Point; an area is made of polygons"),
        ({"type": "FeatureCollection", "features": []}, "it has nothing"),
        ({"type": "Sphere"}, "it is not valid GeoJSON"),
        ([1, 2], "it is not valid GeoJSON"),
        (
            {
                **SQUARE,
                "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}},
            },
            "its crs urn:ogc:def:crs:EPSG::3857 is not longitude and latitude",
        ),
        ({**SQUARE, "crs": {"type": "link", "properties": {"href": "x"}}}, "its crs .* is not lon"),
        (
            {"type": "Polygon", "coordinates": [[[5e5, 4e6], [6e5, 4e6], [6e5, 5e6], [5e5, 4e6]]]},
            "reproject it",
        ),
        (
            {"type": "Polygon", "coordinates": [[[9, 47], [10, 47], [9, 47], [9, 47]]]},
            "encloses no area",
        ),
    ],
)
def test_what_is_not_an_area_is_refused(document: object, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        outline_of(document, "it")


def test_the_crs_of_degrees_may_be_named() -> None:
    named = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
    assert outline_of({**SQUARE, "crs": named}, "it") == outline_of(SQUARE, "it")
