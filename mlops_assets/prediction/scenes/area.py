"""Areas of interest: GeoJSON polygons in degrees (WGS 84)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias, cast

from mlops_assets.errors import SpecificationError

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from mlops_assets.prediction.scenes.found import Bounds

Area: TypeAlias = dict[str, object]  # GeoJSON Polygon or MultiPolygon


def read_area(content: bytes, where: str) -> Area:
    """Return the area that a GeoJSON document has: all polygons of it together.

    Args:
        content: a geometry, a Feature or a FeatureCollection.
        where: name of the document, for messages.

    Raises:
        SpecificationError: it is not GeoJSON, has other geometries, or is not in degrees.
    """
    import shapely
    from shapely.errors import ShapelyError

    try:
        document = json.loads(content)
        found = shapely.union_all([_shape(geometry) for geometry in _geometries(document)])
    except (ShapelyError, ValueError, TypeError, LookupError, AttributeError) as error:
        raise SpecificationError(
            f"{where} is not an area: {error}; give a GeoJSON Polygon or MultiPolygon, or features"
            " that have them"
        ) from error
    west, south, east, north = found.bounds if not found.is_empty else (0, 0, 0, 0)
    if found.is_empty or not (west >= -180 and east <= 180 and south >= -90 and north <= 90):
        what = "has no area" if found.is_empty else f"reaches {west:g}, {south:g}, {east:g},"
        more = "" if found.is_empty else f" {north:g}, which are not degrees"
        raise SpecificationError(
            f"{where} {what}{more}; give polygons in longitude and latitude (WGS 84)"
        )
    return cast("Area", json.loads(shapely.to_geojson(found)))


def shape_of_area(area: Mapping[str, object]) -> BaseGeometry:
    """Return the geometry of an area."""
    from shapely.geometry import shape

    return shape(area)


def shape_of_bounds(bounds: Bounds) -> BaseGeometry:
    """Return the geometry of bounds; of two boxes across the antimeridian."""
    import shapely

    west, south, east, north = bounds
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(
        shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
    )


def _geometries(document: dict[str, object]) -> list[dict[str, object]]:
    kind = document["type"]
    if kind == "FeatureCollection":
        features = cast("list[dict[str, object]]", document["features"])
        return [geometry for feature in features for geometry in _geometries(feature)]
    if kind == "Feature":
        return [cast("dict[str, object]", document["geometry"])]
    return [document]


def _shape(geometry: dict[str, object]) -> BaseGeometry:
    import shapely
    from shapely.geometry import shape

    if geometry["type"] not in ("Polygon", "MultiPolygon"):
        raise ValueError(f"has a {geometry['type']}")
    found = shape(geometry)
    reason = shapely.is_valid_reason(found)
    if reason != "Valid Geometry":
        raise ValueError(f"has a polygon that is not valid ({reason})")
    return found
