"""Areas of interest: GeoJSON polygons in degrees (WGS 84)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from mlops_assets.prediction.scenes.found import Bounds

Area: TypeAlias = dict[str, object]  # GeoJSON Polygon or MultiPolygon


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
