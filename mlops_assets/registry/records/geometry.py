"""Geometries of GeoJSON for comparisons: those of records, and those that callers send.

What is searched by them is in `search`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from mlops_assets.errors import SpecificationError
from mlops_assets.text.json_values import Json

if TYPE_CHECKING:
    import shapely

MAX_POSITIONS = 20_000  # of a caller's geometry; to validate the worst one takes a second
_GEOMETRIES = (
    "Point",
    "MultiPoint",
    "LineString",
    "MultiLineString",
    "Polygon",
    "MultiPolygon",
    "GeometryCollection",
)
_RECTANGLE = 5  # positions of its ring


def geometry_of(geojson: Json, subject: str) -> shapely.Geometry:
    """Return a GeoJSON geometry for comparisons.

    Args:
        geojson: the geometry.
        subject: whose geometry it is, for the message.

    Raises:
        SpecificationError: it is not a valid geometry in longitude and latitude.
    """
    import shapely
    import shapely.geometry

    if not isinstance(geojson, dict) or geojson.get("type") not in _GEOMETRIES:
        raise SpecificationError(
            f"the geometry of {subject} is not a GeoJSON geometry: its type is one of"
            f" {', '.join(_GEOMETRIES)}"
        )
    try:
        found = shapely.geometry.shape(geojson)
        west, south, east, north = found.bounds
    except (
        AttributeError,
        IndexError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
        shapely.errors.ShapelyError,
    ) as error:
        raise SpecificationError(
            f"the geometry of {subject} is not a valid GeoJSON geometry: {error}"
        ) from error
    if found.is_empty or not all(map(math.isfinite, (west, south, east, north))):
        raise SpecificationError(f"the geometry of {subject} is empty or has no finite coordinates")
    if west < -180 or east > 180 or south < -90 or north > 90:
        raise SpecificationError(
            f"the geometry of {subject} leaves longitudes -180 to 180 or latitudes -90 to 90;"
            " split it at the antimeridian (RFC 7946)"
        )
    if not found.is_valid:
        reason = shapely.is_valid_reason(found)
        raise SpecificationError(f"the geometry of {subject} is not valid: {reason}")
    return found


def sent_geometry(geojson: Json, subject: str) -> shapely.Geometry:
    """Return a GeoJSON geometry of a caller; whether it is valid must not take long to find out.

    Args:
        geojson: the geometry.
        subject: whose geometry it is, for the message.

    Raises:
        SpecificationError: it is not valid, or has too many positions.
    """
    found = 0
    level: list[Json] = [geojson]
    while level:
        level = [child for value in level for child in _children(value)]
        if any(isinstance(value, bool) for value in level):
            raise SpecificationError(f"the geometry of {subject} has a position with true or false")
        found += sum(isinstance(value, list) for value in level)
        if found > MAX_POSITIONS:
            raise SpecificationError(
                f"the geometry of {subject} has more than {MAX_POSITIONS:,} positions; simplify it"
            )
    geometry = geometry_of(geojson, subject)
    if any(ring[0] != ring[-1] for ring in _rings(geojson)):
        raise SpecificationError(
            f"the geometry of {subject} has a ring that does not end with the position that it"
            " begins with"
        )
    return geometry


def _children(value: Json) -> Iterable[Json]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _rings(geojson: Json) -> Iterator[list[Json]]:
    """Yield the rings of a valid geometry."""
    match geojson:
        case {"type": "Polygon", "coordinates": list(rings)}:
            yield from (ring for ring in rings if isinstance(ring, list) and ring)
        case {"type": "MultiPolygon", "coordinates": list(polygons)}:
            for polygon in polygons:
                yield from _rings({"type": "Polygon", "coordinates": polygon})
        case {"type": "GeometryCollection", "geometries": list(members)}:
            for member in members:
                yield from _rings(member)


def is_rectangle(geometry: Json, sides: tuple[float | None, ...]) -> bool:
    """Return whether a valid geometry is the rectangle with these sides."""
    if not isinstance(geometry, dict) or geometry.get("type") != "Polygon":
        return False
    rings = geometry["coordinates"]
    if not isinstance(rings, list) or len(rings) != 1:
        return False
    ring = rings[0]
    west, south, east, north = sides
    corners = {(west, south), (west, north), (east, south), (east, north)}
    # a valid ring through the four corners alone
    return (
        isinstance(ring, list)
        and len(ring) == _RECTANGLE
        and {tuple(position[:2]) for position in ring if isinstance(position, list)} == corners
    )
