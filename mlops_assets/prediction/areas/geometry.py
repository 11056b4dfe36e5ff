"""The outline of an area, from GeoJSON of any form."""

from __future__ import annotations

import json
from pathlib import Path

from mlops_assets.errors import SpecificationError

# whole degrees of longitude and latitude; coordinates beyond are in another reference system
_WORLD = (-180.0, -90.0, 180.0, 90.0)


def read_outline(path: Path) -> dict[str, object]:
    """Return the outline in a GeoJSON file.

    Raises:
        SpecificationError: it cannot be read, or is not GeoJSON with polygons.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path} cannot be read: {error}; name a GeoJSON file") from error
    except ValueError as error:
        raise SpecificationError(f"{path} is not valid JSON: {error}") from error
    return outline_of(document, str(path))


def outline_of(document: object, where: str) -> dict[str, object]:
    """Return the outline of a GeoJSON document: one Polygon or MultiPolygon in degrees (WGS 84).

    Args:
        document: a geometry, a Feature, or a FeatureCollection, whose polygons are united.
        where: it was written, for errors.

    Raises:
        SpecificationError: it is not GeoJSON, has no polygon, or coordinates that are not degrees.
    """
    import shapely

    try:
        found = shapely.from_geojson(json.dumps(document))
    except (shapely.errors.ShapelyError, ValueError, TypeError) as error:
        raise SpecificationError(
            f"{where} is not valid GeoJSON: {error}; write a Polygon, MultiPolygon, Feature or"
            " FeatureCollection"
        ) from error
    parts = shapely.get_parts(found, return_index=False) if found is not None else []
    polygons = [
        part
        for part in parts
        if part.geom_type in ("Polygon", "MultiPolygon") and not part.is_empty
    ]
    if not polygons or len(polygons) < len(parts):
        kinds = ", ".join(sorted({part.geom_type for part in parts})) or "nothing"
        raise SpecificationError(f"{where} has {kinds}; an area is made of polygons only")
    united = shapely.union_all([shapely.make_valid(part) for part in polygons])
    west, south, east, north = united.bounds
    if west < _WORLD[0] or south < _WORLD[1] or east > _WORLD[2] or north > _WORLD[3]:
        raise SpecificationError(
            f"{where} reaches from {west:g}, {south:g} to {east:g}, {north:g}; GeoJSON is in"
            " degrees of longitude and latitude (WGS 84): reproject it"
        )
    if united.geom_type not in ("Polygon", "MultiPolygon") or united.area == 0:
        raise SpecificationError(f"{where} encloses no area; draw a polygon around it")
    mapping: dict[str, object] = json.loads(shapely.to_geojson(united))
    return mapping
