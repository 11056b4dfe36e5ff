"""The outline of an area, from GeoJSON of any form."""

from __future__ import annotations

import json
from pathlib import Path

from mlops_assets.datasets.io.geojson_areas import read_polygons
from mlops_assets.errors import SpecificationError


def read_outline(path: Path) -> dict[str, object]:
    """Return the outline in a GeoJSON file.

    Raises:
        SpecificationError: it cannot be read, or is not GeoJSON with polygons.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise SpecificationError(f"{path} cannot be read: {error}; name a GeoJSON file") from error
    except (ValueError, RecursionError) as error:
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

    polygons = read_polygons(document, where)
    found = polygons.geoms[0] if len(polygons.geoms) == 1 else polygons
    mapping: dict[str, object] = json.loads(shapely.to_geojson(found))
    return mapping
