"""Which of the scenes of a source are wanted: collections, area and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from mlops_assets.datasets.io.geojson_areas import shape_of_bounds
from mlops_assets.datasets.versions.extents import enclosing
from mlops_assets.errors import NoScenes, SpecificationError
from mlops_assets.prediction.scenes.area import Area, shape_of_area
from mlops_assets.prediction.scenes.interval import AcquisitionInterval, parse_interval

if TYPE_CHECKING:
    from shapely.geometry.base import BaseGeometry

    from mlops_assets.prediction.scenes.found import Bounds, FoundScene


@dataclass(frozen=True)
class SceneSearch:
    """The wanted scenes; a STAC API is searched by these, scenes of other sources are compared.

    Attributes:
        collections: ids; Items of all if there are none.
        bbox: west, south, east, north in degrees; west > east across the antimeridian.
        area: GeoJSON Polygon or MultiPolygon (WGS 84).
        datetime: a time or interval of acquisition as in STAC's searches, such as 2024-06-01,
            2024-06-01/2024-06-30 or 2024-06-01/..; UTC.
        query: a CQL2 text filter, for STAC APIs only, such as `"eo:cloud_cover" < 20`.
    """

    collections: tuple[str, ...] = ()
    bbox: Bounds | None = None
    area: Area | None = None
    datetime: str | None = None
    query: str | None = None

    def bounds(self) -> Bounds | None:
        """Return the box to search an API by."""
        if self.bbox is not None or self.area is None:
            return self.bbox
        import shapely

        parts = shapely.get_parts(shape_of_area(self.area))
        return cast("Bounds", tuple(enclosing(shapely.bounds(parts))))

    def place(self) -> BaseGeometry | None:
        """Return the geometry that scenes must reach, None if there is none.

        Raises:
            NoScenes: box and area have nothing in common.
        """
        import shapely

        parts = [] if self.bbox is None else [shape_of_bounds(self.bbox)]
        parts += [] if self.area is None else [shape_of_area(self.area)]
        if not parts:
            return None
        found = shapely.intersection_all(parts)
        if found.is_empty:
            raise NoScenes("the box and the area do not overlap; leave out one of them")
        return found

    def interval(self) -> AcquisitionInterval | None:
        """Return the interval of acquisition; None if no time is given.

        Raises:
            SpecificationError: the time is not valid.
        """
        if self.datetime is None:
            return None
        try:
            return parse_interval(self.datetime)
        except ValueError as error:
            raise SpecificationError(str(error)) from error


def reaches(scene: FoundScene, place: BaseGeometry) -> bool:
    """Return whether a scene may have pixels at a place; one whose bounds are unknown may."""
    from shapely.errors import ShapelyError
    from shapely.geometry import shape

    geometry = None if scene.item is None else scene.item.get("geometry")
    if isinstance(geometry, dict):
        try:
            return bool(shape(geometry).intersects(place))
        except (ShapelyError, ValueError, TypeError, LookupError, AttributeError):
            pass
    return scene.bounds is None or bool(shape_of_bounds(scene.bounds).intersects(place))
