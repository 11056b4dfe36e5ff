"""Places of the rows of a table: columns in degrees or a projected CRS, or GeoParquet geometry.

Places are never guessed: in a table with places, a row without one is a problem.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray
from pandas.api import types as kinds

from mlops_assets.datasets.io.raster_places import Places
from mlops_assets.datasets.specification.source import TableLayout
from mlops_assets.errors import SpecificationError

if TYPE_CHECKING:
    from mlops_assets.datasets.io.geopandas_types import GeoSeries

# columns made of the geometry of a GeoParquet file
LONGITUDE = "geometry.longitude"
LATITUDE = "geometry.latitude"
DEGREES = "EPSG:4326"
HALF_CIRCLE = 180.0
CIRCLE = 360.0


def place_columns(layout: TableLayout) -> list[str]:
    """Return the columns with the coordinates of rows."""
    return [c for c in (layout.longitude, layout.latitude, layout.x, layout.y) if c]


def require_known_crs(layout: TableLayout) -> None:
    """Check that the CRS of the columns x and y has a known place on the globe.

    Raises:
        SpecificationError: it is unknown, or a local one.
    """
    if layout.crs is None:
        return  # before rasterio is imported, which takes as long as committing a small table
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        known = CRS.from_user_input(layout.crs)
    except CRSError as error:
        raise SpecificationError(
            f"source.table.crs: {layout.crs!r} is unknown; write e.g. EPSG:32632"
        ) from error
    if not (known.is_projected or known.is_geographic):
        raise SpecificationError(
            f"source.table.crs: {layout.crs!r} has no known place on the globe; name one that has,"
            " e.g. EPSG:32632"
        )


def places_of(table: pd.DataFrame, layout: TableLayout) -> Places | None:
    """Return the places of the rows, None if the table has none.

    Returns:
        Longitude from -180 to 180 and latitude in degrees (WGS 84), float64 of shape (rows,) each;
        not finite where a row cannot be placed.
    """
    if layout.x and layout.y:
        return _projected(table[layout.x], table[layout.y], layout.crs or DEGREES)
    if layout.longitude and layout.latitude:
        longitude = table[layout.longitude].to_numpy(dtype=np.float64)
        return _half_circles(longitude), table[layout.latitude].to_numpy(dtype=np.float64)
    if LONGITUDE in table:
        return table[LONGITUDE].to_numpy(dtype=np.float64), table[LATITUDE].to_numpy(
            dtype=np.float64
        )
    return None


def place_problems(path: str, table: pd.DataFrame, layout: TableLayout) -> list[str]:
    """Return why the rows of a table cannot be placed.

    Missing values of its columns are found elsewhere.
    """
    columns = place_columns(layout)
    texts = [column for column in columns if not kinds.is_numeric_dtype(table[column])]
    if layout.longitude and layout.latitude:
        return _degree_problems(path, table, layout.longitude, layout.latitude)
    if texts:
        return [
            f"{path}: column {column!r} is not numeric; write coordinates as numbers"
            for column in texts
        ]
    found = places_of(table, layout)
    if found is None or table[columns].isna().any(axis=None):
        return []
    missing = np.isnan(found[0])
    beyond = np.isinf(found[0]) | np.isinf(found[1])
    problems = []
    if missing.any():
        problems.append(
            f"{path}: {int(missing.sum())} row(s) have no geometry, first data row"
            f" {int(missing.argmax()) + 1}; draw it or remove the rows"
        )
    if beyond.any():
        what = (
            f"columns {layout.x!r} and {layout.y!r} in {layout.crs}" if layout.crs else "geometry"
        )
        problems.append(
            f"{path}: {int(beyond.sum())} row(s) have a place that is not on the globe by their"
            f" {what}, first data row {int(beyond.argmax()) + 1}; correct the coordinates or their"
            " reference system"
        )
    return problems


def _degree_problems(path: str, table: pd.DataFrame, longitude: str, latitude: str) -> list[str]:
    problems = []
    for column, limit, also in ((longitude, 180, " (or 0 and 360)"), (latitude, 90, "")):
        values = table[column]
        if kinds.is_numeric_dtype(values):
            degrees = values.to_numpy(dtype=np.float64)
            wrong = np.abs(_half_circles(degrees) if column == longitude else degrees) > limit
        else:
            wrong = pd.to_numeric(values, errors="coerce").isna().to_numpy()
        if wrong.any() or not kinds.is_numeric_dtype(values):
            problems.append(
                f"{path}: column {column!r} has values that are not degrees between -{limit} and"
                f" {limit}{also}, first in data row {int(wrong.argmax()) + 1}; convert the"
                " coordinates to WGS 84"
            )
    return problems


def _half_circles(longitude: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return longitudes of 0…360 as -180…180; those that are neither stay as they are."""
    known = longitude[np.isfinite(longitude)]
    if len(known) and known.min() >= 0 and known.max() <= CIRCLE:
        return np.where(longitude > HALF_CIRCLE, longitude - CIRCLE, longitude)
    return longitude


def _projected(x: pd.Series, y: pd.Series, crs: str) -> Places:
    """Return the places of coordinates, infinite where the CRS has none."""
    import geopandas

    points = geopandas.points_from_xy(x, y, crs=crs).to_crs(DEGREES)
    return np.asarray(points.x), np.asarray(points.y)


def middles(geometry: GeoSeries) -> Places:
    """Return the middle of the bounding box of each geometry.

    A centroid in degrees would be wrong, and one in metres would depend on the projection. The
    middle of a geometry across the antimeridian is near the antimeridian, however it is written.

    Returns:
        Longitude from -180 to 180 and latitude in degrees (WGS 84), float64 of shape (rows,) each;
        NaN where the geometry is missing, infinite beyond the globe.
    """
    placed = geometry.to_crs(DEGREES)
    known = ~(placed.isna() | placed.is_empty).to_numpy()
    west, south, east, north = placed.bounds.to_numpy(dtype=np.float64, copy=True).T
    for row in np.flatnonzero(east - west > HALF_CIRCLE):
        west[row], east[row] = narrowest(shapely.get_coordinates(placed.iloc[row])[:, 0])
    on_globe = (west >= -HALF_CIRCLE) & (east <= CIRCLE) & (south >= -90) & (north <= 90)
    longitude, latitude = (west + east) / 2, (south + north) / 2
    longitude = np.where(longitude > HALF_CIRCLE, longitude - CIRCLE, longitude)
    elsewhere = np.where(known, np.inf, np.nan)
    return np.where(on_globe, longitude, elsewhere), np.where(on_globe, latitude, elsewhere)


def narrowest(longitude: NDArray[np.float64]) -> tuple[float, float]:
    """Return the minimum and maximum longitude of a geometry in the narrowest way to write it.

    The ways are as written, as -180…180, and as 0…360. A geometry that is wider than half the globe
    as written crosses the antimeridian or the prime meridian, unless it is a single line in the
    other ways, as the whole globe is.

    Args:
        longitude: of its points in degrees, float64 of shape (points,).
    """
    ways = [longitude, (longitude + HALF_CIRCLE) % CIRCLE - HALF_CIRCLE, longitude % CIRCLE]
    spans = [(float(way.min()), float(way.max())) for way in ways]
    narrow = [span for span in spans if 0 < span[1] - span[0] <= HALF_CIRCLE]
    return min(narrow or spans[:1], key=lambda span: span[1] - span[0])
