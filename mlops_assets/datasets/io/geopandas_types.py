"""Types of GeoPandas' and Shapely's objects, as far as they are used: neither ships any.

Nothing here runs; the libraries' own classes have these attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Protocol, Self, SupportsIndex

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    from pyproj import CRS

    from mlops_assets.datasets.io.rasterio_types import Crs


class Geometry(Protocol):
    """A geometry (`shapely.Geometry`)."""

    @property
    def bounds(self) -> tuple[float, float, float, float]:
        """Least x and y, greatest x and y, in units of its CRS."""


class Positions(Protocol):
    """Geometries by their positions (`GeoSeries.iloc`)."""

    def __getitem__(self, position: SupportsIndex) -> Geometry:
        """Return one geometry."""


class GeoSeries(Protocol):
    """A column of geometries (`geopandas.GeoSeries`)."""

    @property
    def name(self) -> str:
        """The column's name."""

    @property
    def is_empty(self) -> pd.Series[bool]:
        """Whether each geometry has no point."""

    @property
    def bounds(self) -> pd.DataFrame:
        """Columns minx, miny, maxx, maxy, in units of the CRS."""

    @property
    def iloc(self) -> Positions:
        """The geometries by their positions."""

    def __getitem__(self, mask: NDArray[np.bool_]) -> Self:
        """Return the geometries where a mask is true."""

    def __iter__(self) -> Iterator[Geometry]:
        """Yield each geometry."""

    def isna(self) -> pd.Series[bool]:
        """Return whether each geometry is missing."""

    def intersects(self, other: Geometry) -> pd.Series[bool]:
        """Return whether each geometry has a point in common with another one."""

    def map(self, function: Callable[[Geometry], Geometry]) -> Self:
        """Return the column with a function applied to each geometry."""

    def to_crs(self, crs: Crs | CRS | str) -> Self:
        """Return the column in another CRS."""

    def to_numpy(self) -> NDArray[np.object_]:
        """Return the geometries as an array of objects."""


class GeoDataFrame(Protocol):
    """A table with one column of geometries (`geopandas.GeoDataFrame`)."""

    @property
    def geometry(self) -> GeoSeries:
        """The column of geometries."""

    @property
    def crs(self) -> CRS | None:
        """The CRS of the geometries, if it is known."""

    @property
    def columns(self) -> pd.Index[str]:
        """Names of all columns, that of the geometries among them."""

    @property
    def empty(self) -> bool:
        """Whether the table has no row."""

    def __len__(self) -> int:
        """Return the number of rows."""

    def __getitem__(self, column: str) -> pd.Series:
        """Return one column."""

    def drop(self, *, columns: str) -> pd.DataFrame:
        """Return the table without a column."""
