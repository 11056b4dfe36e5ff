"""The grid of a scene's bands: the declared one, or that of the finest, within the area."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, cast

import numpy as np

from mlops_assets.datasets.io.geojson_areas import in_turns, polygons_of, shape_of_bounds
from mlops_assets.datasets.io.raster_places import (
    WGS84,
    bounds_of,
    box_of_bounds,
    georeference,
)
from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.scenes.area import Area, shape_of_area

if TYPE_CHECKING:
    import pandas as pd
    from affine import Affine

    from mlops_assets.datasets.io.rasterio_types import Crs, Raster
    from mlops_assets.prediction.scenes.reading import Grid

Geometry: TypeAlias = Mapping[str, object]  # GeoJSON, in the CRS of a grid
_METRES_OF_A_DEGREE = 111_320.0
# of a scene; a finer grid is a resolution in other units than those of the CRS
_MAX_ENLARGEMENT = 10_000
_SIDE_PARTS = 200  # of the longest side of an area, whose edges bend in another CRS
_IMAGES = 100  # of a data version, whose resolution is that of most of these
_AROUND = 0.1  # degrees around a scene in which an area is transformed
_ALIGNED = 1e-4  # of a pixel


@dataclass(frozen=True)
class PixelGrid:
    """A grid of pixels.

    Attributes:
        crs: coordinate reference system; None without georeference.
        transform: from (column, row) to coordinates.
        width: columns.
        height: rows.
    """

    crs: Crs | None
    transform: Affine
    width: int
    height: int

    @classmethod
    def of(cls, raster: Raster) -> PixelGrid:
        """Return the grid of an open raster."""
        return cls(georeference(raster), raster.transform, raster.width, raster.height)

    @property
    def metres(self) -> float:
        """The side of a pixel, roughly, in metres or in units of the CRS."""
        side = math.sqrt(abs(self.transform.determinant))
        return side * _METRES_OF_A_DEGREE if self.crs and self.crs.is_geographic else side

    def offset(self, other: PixelGrid) -> tuple[int, int] | None:
        """Return the column and row of this grid where another one begins.

        None unless all pixels of the other one are pixels of this one.
        """
        if self.crs is None or other.crs is None:
            # without a place only the whole is known to be the same
            return (0, 0) if self == other else None
        if self.crs != other.crs:
            return None
        # pixels of the other one → pixels of this one
        between = ~self.transform @ other.transform
        last = between @ (other.width, other.height)
        first = between @ (0, 0)
        column, row = round(first[0]), round(first[1])
        wanted = (column, row, column + other.width, row + other.height)
        exact = all(
            abs(found - whole) < _ALIGNED
            for found, whole in zip((*first, *last), wanted, strict=True)
        )
        inside = column >= 0 and row >= 0 and wanted[2] <= self.width and wanted[3] <= self.height
        return (column, row) if exact and inside else None

    def cropped(self, area: Area, name: str) -> PixelGrid:
        """Return the part of the grid around an area.

        Args:
            area: GeoJSON in degrees (WGS 84).
            name: of the scene, for messages.

        Raises:
            SpecificationError: the area is outside, or the grid has no place.
        """
        points = [~self.transform @ point for point in _points(self.in_crs(area, name))]
        columns, rows = np.array(points).T
        left, top = max(math.floor(columns.min()), 0), max(math.floor(rows.min()), 0)
        right = min(math.ceil(columns.max()), self.width)
        bottom = min(math.ceil(rows.max()), self.height)
        if left >= right or top >= bottom:
            raise SpecificationError(
                f"{name} has no pixel in the area; name a scene that reaches it, or another area"
            )
        return self.window(left, top, right - left, bottom - top)

    def window(self, column: int, row: int, width: int, height: int) -> PixelGrid:
        """Return a part of the grid."""
        from affine import Affine

        moved = self.transform @ Affine.translation(column, row)
        return PixelGrid(self.crs, moved, width, height)

    def in_crs(self, area: Area, name: str) -> Geometry:
        """Return the part of an area around the grid, in the CRS of the grid.

        Raises:
            SpecificationError: the grid has no place, or the area is elsewhere.
        """
        import shapely
        from rasterio.warp import transform_geom

        if self.crs is None:
            raise SpecificationError(
                f"{name} has no georeference, so its pixels in the area are unknown; leave out the"
                " area"
            )
        shape = shape_of_area(area)
        bounds = bounds_of(self.transform, self.height, self.width)
        box = box_of_bounds(self.crs, bounds)
        if box is not None:
            # a CRS such as UTM has no coordinates, or wrong ones, far from its own place
            west, south, east, north = box
            around = shape_of_bounds((west, south, east, north)).buffer(_AROUND)
            shape = shape.intersection(around)
        shape = polygons_of(shape)
        if not shape.is_empty:
            west, south, east, north = shape.bounds
            bent = shapely.segmentize(shape, max(east - west, north - south) / _SIDE_PARTS)
            found = shape_of_area(transform_geom(WGS84, self.crs, shapely.geometry.mapping(bent)))
            if self.crs.is_geographic:
                # a grid of degrees may count on beyond 180
                found = polygons_of(in_turns(found, bounds))
            if not found.is_empty:
                return cast("Geometry", shapely.geometry.mapping(found))
        raise SpecificationError(
            f"{name} has no pixel in the area; name a scene that reaches it, or another area"
        )


def chosen(grids: Sequence[PixelGrid], trained: Callable[[], float | None]) -> PixelGrid:
    """Return the grid on which a model has learned, as far as that is known, else the finest.

    Args:
        grids: of the bands.
        trained: returns the resolution of the model's data version; it is not asked in vain.
    """
    sizes = [round(grid.metres, 6) for grid in grids]
    if len(set(sizes)) == 1:
        return grids[0]
    known = trained()
    if known is None:
        return grids[sizes.index(min(sizes))]
    # twice as fine is as far as twice as coarse
    distances = [abs(math.log(size / known)) for size in sizes]
    return grids[distances.index(min(distances))]


def resolution_of(manifest: pd.DataFrame) -> float | None:
    """Return the side of the pixels of a data version's images, metres; None if it is unknown.

    Args:
        manifest: of the data version.
    """
    from affine import Affine
    from rasterio.crs import CRS

    placed = manifest.dropna(subset=["crs", "transform"])
    images = placed[placed["role"] == "image"].head(_IMAGES)
    sizes = [
        PixelGrid(CRS.from_user_input(crs), Affine(*transform), 1, 1).metres
        for crs, transform in zip(images["crs"], images["transform"], strict=True)
    ]
    return float(np.median(sizes)) if sizes else None


def declared(grid: Grid, scene: PixelGrid, name: str) -> PixelGrid:
    """Return the part of a declared grid that a scene covers, or all of it if it has bounds.

    Args:
        grid: as declared.
        scene: the grid of the scene.
        name: of the scene, for messages.

    Raises:
        SpecificationError: the scene has no place, is outside, or the grid cannot be.
    """
    from affine import Affine
    from rasterio._err import CPLE_BaseError
    from rasterio.crs import CRS
    from rasterio.errors import CRSError
    from rasterio.warp import transform_bounds

    size = grid.resolution
    if not (math.isfinite(size) and size > 0):
        raise SpecificationError(f"a grid of resolution {size:g} cannot be; give a number above 0")
    if scene.crs is None:
        raise SpecificationError(
            f"{name} has no georeference, so it cannot be read on another grid; leave out the grid"
        )
    own = bounds_of(scene.transform, scene.height, scene.width)
    try:
        crs = CRS.from_user_input(grid.crs)
        reach = transform_bounds(scene.crs, crs, *own, densify_pts=_SIDE_PARTS)
    except (CRSError, CPLE_BaseError) as error:
        raise SpecificationError(
            f"{name} cannot be read in {grid.crs!r}: {error}; name a CRS of that place, such as"
            " EPSG:32632"
        ) from error
    if not np.isfinite(reach).all():
        raise SpecificationError(
            f"{name} has no place in {grid.crs}; name a CRS of that place, such as EPSG:32632"
        )
    found = grid.bounds or (
        math.floor(reach[0] / size) * size,
        math.floor(reach[1] / size) * size,
        math.ceil(reach[2] / size) * size,
        math.ceil(reach[3] / size) * size,
    )
    west, south, east, north = found
    if east <= reach[0] or west >= reach[2] or north <= reach[1] or south >= reach[3]:
        raise SpecificationError(
            f"{name} is outside of the grid's bounds {', '.join(f'{side:g}' for side in found)} in"
            f" {grid.crs}; name a scene within them"
        )
    width, height = round((east - west) / size), round((north - south) / size)
    if not 0 < width * height <= _MAX_ENLARGEMENT * max(scene.width * scene.height, 1 << 20):
        raise SpecificationError(
            f"a grid of {grid.crs} with the resolution {size:g} has {width:,} x {height:,} pixels"
            f" for {name}; give the resolution in units of the CRS"
        )
    return PixelGrid(cast("Crs", crs), Affine(size, 0, west, 0, -size, north), width, height)


def _points(geometry: Geometry) -> list[tuple[float, float]]:
    """Return the points of the outer rings of polygons."""
    rings = cast("list[list[list[list[float]]]]", geometry["coordinates"])
    polygons = [rings] if geometry["type"] == "Polygon" else rings
    return [
        (point[0], point[1])
        for polygon in cast("list[list[list[list[float]]]]", polygons)
        for point in polygon[0]
    ]
