"""Areas from GeoJSON of any form (RFC 7946): polygons in degrees of longitude and latitude.

Areas across the antimeridian are understood as they are written: cut in two there, with longitudes
beyond 180, or with sides that jump from 179 to -179.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import SpecificationError

if TYPE_CHECKING:
    from shapely import MultiPolygon, Polygon
    from shapely.geometry.base import BaseGeometry

_POLYGONS = ("Polygon", "MultiPolygon")
# longitude and latitude of WGS 84, or less than a metre from it
_DEGREES = re.compile(r"(CRS84h?|EPSG:.*\b(4326|4979|4258))$", re.IGNORECASE)


def read_polygons(document: object, where: str) -> MultiPolygon:
    """Return the polygons of a GeoJSON document, united.

    Args:
        document: a geometry, a Feature, or a FeatureCollection.
        where: it was written, for errors.

    Returns:
        Longitudes of -180 … 180, with what crosses the antimeridian cut in two.

    Raises:
        SpecificationError: it is not GeoJSON, has another geometry than polygons, or coordinates
            that are not degrees.
    """
    import shapely

    try:
        _require_degrees(document)
        geometries = list(_geometries(document))
        other = sorted({str(found["type"]) for found in geometries} - set(_POLYGONS))
        polygons = [] if other else [part for found in geometries for part in _polygons(found)]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise SpecificationError(
            f"{where} is not valid GeoJSON: {error}; write a Polygon, MultiPolygon, Feature or"
            " FeatureCollection"
        ) from error
    if not polygons:
        raise SpecificationError(
            f"{where} has {', '.join(other) or 'nothing'}; an area is made of polygons only"
        )
    whole = shapely.union_all([shapely.make_valid(polygon) for polygon in polygons])
    found = polygons_of(in_turns(whole, (-180, -90, 180, 90)))
    if found.is_empty:
        raise SpecificationError(f"{where} encloses no area; draw a polygon around it")
    return found


def in_turns(shape: BaseGeometry, bounds: tuple[float, float, float, float]) -> BaseGeometry:
    """Return what of a shape is within bounds, with its longitudes counted from any turn.

    Args:
        shape: in degrees.
        bounds: west, south, east, north; they may reach beyond 180.
    """
    import shapely
    from shapely.affinity import translate

    turns = [translate(shape, turn) for turn in (-360, 0, 360)]
    return shapely.intersection(shapely.union_all(turns), shapely.box(*bounds))


def shape_of_bounds(bounds: tuple[float, float, float, float]) -> BaseGeometry:
    """Return the geometry of bounds; of two boxes across the antimeridian.

    Args:
        bounds: west, south, east, north in degrees; west > east across the antimeridian.
    """
    import shapely

    west, south, east, north = bounds
    if west <= east:
        return shapely.box(west, south, east, north)
    return shapely.union(
        shapely.box(west, south, 180, north), shapely.box(-180, south, east, north)
    )


def polygons_of(shape: BaseGeometry) -> MultiPolygon:
    """Return the polygons of a shape, without the lines and points that cutting may leave."""
    import shapely

    return shapely.MultiPolygon(
        [
            part
            for part in shapely.get_parts(shapely.get_parts(shape))
            if part.geom_type == "Polygon" and part.area
        ]
    )


def _require_degrees(document: object) -> None:
    """Check the CRS that GeoJSON from before RFC 7946 may name.

    Raises:
        ValueError: it is not longitude and latitude of WGS 84.
    """
    crs = document.get("crs") if isinstance(document, dict) else None
    if crs is None:
        return
    properties = crs.get("properties") if isinstance(crs, dict) else None
    name = properties.get("name") if isinstance(properties, dict) else None
    if not isinstance(name, str) or not _DEGREES.search(name):
        raise ValueError(
            f"its crs {crs if name is None else name} is not longitude and latitude in degrees (WGS"
            " 84), reproject it"
        )


def _geometries(document: object) -> Iterator[dict[str, object]]:
    """Yield the geometries of a document; features may have none.

    Raises:
        TypeError, LookupError: it is not GeoJSON.
    """
    if not isinstance(document, dict):
        raise TypeError(f"it is a {type(document).__name__}")
    kind = document["type"]
    parts = {"FeatureCollection": "features", "GeometryCollection": "geometries"}
    if kind in parts:
        for part in document[parts[kind]]:
            yield from _geometries(part)
    elif kind == "Feature":
        if document["geometry"] is not None:
            yield from _geometries(document["geometry"])
    elif "coordinates" in document:
        yield document
    else:
        raise ValueError(f"type {kind!r} has no coordinates")


def _polygons(geometry: dict[str, object]) -> Iterator[Polygon]:
    """Yield the polygons of a Polygon or MultiPolygon.

    Raises:
        ValueError, TypeError, LookupError: its coordinates are not rings.
    """
    from shapely import Polygon

    found = geometry["coordinates"]
    for rings in [found] if geometry["type"] == "Polygon" else found:  # type: ignore[attr-defined]
        if rings:
            shell, *holes = (_unwrapped(ring) for ring in rings)
            yield Polygon(shell, holes)


def _unwrapped(ring: Sequence[Sequence[float]]) -> NDArray[np.float64]:
    """Return a ring without a jump over the antimeridian.

    A side of more than half the globe is one that goes the shorter way round, as many programs
    write it; one from edge to edge of the map is meant.

    Raises:
        ValueError, TypeError: it is not a ring of points.
    """
    at = np.array([point[:2] for point in ring], dtype=np.float64)
    if not (np.abs(at) <= [360, 90]).all():
        x, y = at[~(np.abs(at) <= [360, 90]).all(axis=1)][0]
        raise ValueError(
            f"{x:g}, {y:g} is not a longitude and latitude in degrees (WGS 84), reproject it"
        )
    steps = np.diff(at[:, 0])
    turns = np.where((np.abs(steps) > 180) & (np.abs(steps) < 360), -np.sign(steps), 0)
    at[1:, 0] += 360 * np.cumsum(turns)
    return at
