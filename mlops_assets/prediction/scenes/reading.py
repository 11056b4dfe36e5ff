"""Choices for the reading of scenes: bands, grid, mask and area of interest."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Grid:
    """The grid of a map.

    Attributes:
        crs: coordinate reference system, such as EPSG:32632.
        resolution: side of a pixel in units of the CRS.
        bounds: minimum x, minimum y, maximum x, maximum y in units of the CRS; the scene's if not
            given, at multiples of the resolution.
    """

    crs: str
    resolution: float
    bounds: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class Mask:
    """Pixels without data, by the values of a raster of codes.

    Attributes:
        asset: key in the scene's Item, such as `scl`.
        invalid: values that hide a pixel.
    """

    asset: str
    invalid: tuple[int, ...]


@dataclass(frozen=True)
class Reading:
    """Choices for the reading of scenes.

    Attributes:
        by_position: take bands in file order where they cannot be identified.
        grid: of the map; the scene's if not given.
        mask: hides pixels, by values of an asset.
        area: GeoJSON Polygon or MultiPolygon (WGS 84) outside of which there is no data.
    """

    by_position: bool = False
    grid: Grid | None = None
    mask: Mask | None = None
    area: dict[str, object] | None = None
