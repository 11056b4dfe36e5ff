"""Places of rasters on the Earth, as GeoJSON and STAC have them.

A place that a file does not have is unknown; it is never guessed.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Crs, Raster
from mlops_assets.datasets.versions.extents import enclosing

if TYPE_CHECKING:
    from affine import Affine

Places: TypeAlias = tuple[NDArray[np.float64], NDArray[np.float64]]  # longitude and latitude
WGS84 = "EPSG:4326"
EDGE_POINTS = 512  # along each side of a raster whose corners have no place, or whose grid bends


def bounds_of(transform: Affine, height: int, width: int) -> tuple[float, float, float, float]:
    """Return the bounds of a grid of any orientation.

    Args:
        transform: from (column, row) to coordinates.
        height: rows.
        width: columns.

    Returns:
        Minimum x, minimum y, maximum x and maximum y, in units of the CRS.
    """
    x, y = zip(
        *(transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))),
        strict=True,
    )
    return min(x), min(y), max(x), max(y)


def georeference(raster: Raster) -> Crs | None:
    """Return the CRS of an open raster, None if it has no georeference.

    A file without a transform is read as if it had the identity, which is not a place, whatever its
    CRS.
    """
    crs = raster.crs
    return None if crs is None or raster.transform.is_identity else crs


def box_on_earth(raster: Raster) -> list[float] | None:
    """Return the bounding box of an open raster as GeoJSON has it, None if its place is unknown.

    Returns:
        West, south, east, north in degrees (WGS 84): longitudes in -180 … 180, with west > east
        across the antimeridian, latitudes in -90 … 90.
    """
    crs = georeference(raster)
    if crs is not None:
        box = box_of_bounds(crs, bounds_of(raster.transform, raster.height, raster.width))
        if box is not None:
            return box
    elif not raster.gcps[0]:
        return None
    sides = (np.linspace(-0.5, side - 0.5, EDGE_POINTS) for side in (raster.height, raster.width))
    rows, columns = np.meshgrid(*sides)
    places = places_of_pixels(raster, np.column_stack([rows.ravel(), columns.ravel()]))
    if places is None:
        return None
    longitude, latitude = places
    known = ~np.isnan(longitude)  # the edges of a geostationary image are beyond the Earth's
    return (
        enclosing(np.column_stack([longitude, latitude, longitude, latitude])[known])
        if known.any()
        else None
    )


def box_of_bounds(crs: Crs, bounds: tuple[float, float, float, float]) -> list[float] | None:
    """Return the bounding box of bounds in a CRS, None where some corner has no place.

    Args:
        crs: of the bounds.
        bounds: minimum x, minimum y, maximum x and maximum y.

    Returns:
        See `box_on_earth`.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.warp import transform_bounds

    with suppress(CPLE_BaseError):
        west, south, east, north = transform_bounds(crs, WGS84, *bounds)
        if np.isfinite([west, south, east, north]).all():
            around = crs.is_geographic and bounds[2] - bounds[0] >= 360
            return _in_degrees(-180.0 if around else west, south, 180.0 if around else east, north)
    return None


def places_of_pixels(raster: Raster, places: NDArray[np.float64]) -> Places | None:
    """Return the places of positions in an open raster, by its transform or ground control points.

    Args:
        raster: an open raster.
        places: float64 of shape (n, 2), row and column; whole numbers are pixel centres.

    Returns:
        Longitude and latitude in degrees (WGS 84), float64 of shape (n,) each, NaN where a position
        is not on the Earth; None if the raster has no georeference.
    """
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import TransformError
    from rasterio.transform import AffineTransformer, GCPTransformer
    from rasterio.warp import transform

    crs = georeference(raster)
    points, crs_of_points = raster.gcps
    # PROJ has no transformation to WGS 84, as from a building site or the Moon; or there are too
    # few points
    with suppress(CPLE_BaseError, TransformError):
        if crs is not None:
            x, y = AffineTransformer(raster.transform).xy(places[:, 0], places[:, 1])
        elif points and crs_of_points is not None:
            crs = crs_of_points
            with GCPTransformer(points) as transformer:
                x, y = transformer.xy(places[:, 0], places[:, 1])
        else:
            return None
        longitude, latitude = map(
            np.asarray, transform(crs, WGS84, np.atleast_1d(x), np.atleast_1d(y))
        )
        known = np.isfinite(longitude) & np.isfinite(latitude)
        return in_longitudes(np.where(known, longitude, np.nan)), np.clip(
            np.where(known, latitude, np.nan), -90, 90
        )
    return None


def _in_degrees(west: float, south: float, east: float, north: float) -> list[float]:
    if west <= east and east - west >= 360:
        west, east = -180.0, 180.0
    west, east = in_longitudes(np.array([west, east])).tolist()
    if west == 180 and east < west:
        west = -180.0
    south, north = np.clip([south, north], -90, 90).tolist()
    return [west, south, east, north]


def in_longitudes(degrees: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return longitudes of any turn in -180 … 180 degrees."""
    return np.where(np.abs(degrees) > 180, (degrees + 180) % 360 - 180, degrees)
