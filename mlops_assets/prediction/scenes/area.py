"""Areas of interest: GeoJSON polygons in degrees (WGS 84)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

Area: TypeAlias = dict[str, object]  # GeoJSON Polygon or MultiPolygon


def shape_of_area(area: Mapping[str, object]) -> BaseGeometry:
    """Return the geometry of an area."""
    from shapely.geometry import shape

    return shape(area)
