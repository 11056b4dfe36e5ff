"""Types of rasterio's objects, as far as they are used: rasterio itself ships none.

Nothing here runs; rasterio's own classes have these attributes.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from affine import Affine

# ((first row, last row + 1), (first column, last column + 1))
Ranges: TypeAlias = tuple[tuple[int, int], tuple[int, int]]


class OffsetWindow(Protocol):
    """A window by its upper left pixel and its size (`rasterio.windows.Window`)."""

    @property
    def col_off(self) -> float:
        """First column."""

    @property
    def row_off(self) -> float:
        """First row."""

    @property
    def width(self) -> float:
        """Columns."""

    @property
    def height(self) -> float:
        """Rows."""


Window: TypeAlias = Ranges | OffsetWindow


class Crs(Protocol):
    """A coordinate reference system (`rasterio.crs.CRS`)."""

    @property
    def is_geographic(self) -> bool:
        """Whether coordinates are degrees."""

    def to_string(self) -> str:
        """Return `EPSG:CODE` where there is one, else WKT."""

    def to_wkt(self) -> str:
        """Return WKT."""


class Raster(Protocol):
    """An open raster (`rasterio.io.DatasetReader`); bands are counted from 1.

    Attributes:
        name: local path.
        driver: GDAL's name of the format.
        width: columns.
        height: rows.
        shape: rows and columns.
        count: bands.
        dtypes: NumPy's name of each band's type; `complex_int16` is GDAL's own.
        nodata: value of the first band that means 'no data', if it is declared.
        nodatavals: the same of each band.
        crs: coordinate reference system, if it is declared.
        transform: from (column, row) to coordinates; the identity where none is declared.
        gcps: ground control points, and their coordinate reference system.
        descriptions: each band's name, if it has one.
        colorinterp: meaning of each band as a colour (`rasterio.enums.ColorInterp`).
        scales: factor from each band's values to physical ones.
        offsets: summand from each band's scaled values to physical ones.
        units: each band's unit, empty if it has none.
        files: what GDAL reads for this raster, its own file first.
        block_shapes: rows and columns of a tile or strip, for each band.
        mask_flag_enums: what masks each band (`rasterio.enums.MaskFlags`).
        profile: options with which a raster like this is written.
    """

    name: str
    driver: str
    width: int
    height: int
    shape: tuple[int, int]
    count: int
    dtypes: tuple[str, ...]
    nodata: float | None
    nodatavals: tuple[float | None, ...]
    crs: Crs | None
    transform: Affine
    gcps: tuple[Sequence[object], Crs | None]
    descriptions: tuple[str | None, ...]
    colorinterp: tuple[IntEnum, ...]
    scales: tuple[float, ...]
    offsets: tuple[float, ...]
    units: tuple[str, ...]
    files: list[str]
    block_shapes: list[tuple[int, int]]
    mask_flag_enums: tuple[list[IntEnum], ...]
    profile: dict[str, object]

    def tags(self, bidx: int = 0, *, ns: str | None = None) -> dict[str, str]:
        """Return the metadata of a namespace, of the file or of a band."""

    def read(
        self,
        indexes: int | Sequence[int] | None = None,
        *,
        window: Window | None = None,
        out_shape: tuple[int, ...] | None = None,
    ) -> NDArray[np.number]:
        """Return pixels: (height, width) of one band, (bands, height, width) of several or all."""

    def read_masks(
        self, indexes: int | Sequence[int] | None = None, *, window: Window | None = None
    ) -> NDArray[np.uint8]:
        """Return 0 where a pixel is masked, in the shape of `read`."""

    def dataset_mask(self) -> NDArray[np.uint8]:
        """Return 0 where a pixel is masked in all bands, shape (height, width)."""

    def overviews(self, bidx: int) -> list[int]:
        """Return the factors by which a band's overviews are smaller."""

    def colormap(self, bidx: int) -> dict[int, tuple[int, int, int, int]]:
        """Return the colours (red, green, blue, alpha; 0 … 255) of a band's values."""

    def index(self, x: float, y: float) -> tuple[int, int]:
        """Return row and column of coordinates."""


class WritableRaster(Raster, Protocol):
    """A raster that is open for writing (`rasterio.io.DatasetWriter`)."""

    def write(
        self,
        arr: NDArray[np.generic],
        indexes: int | Sequence[int] | None = None,
        *,
        window: Window | None = None,
    ) -> None:
        """Write pixels: (height, width) of one band, (bands, height, width) of several or all."""

    def write_mask(self, mask_array: NDArray[np.generic] | bool) -> None:
        """Write the mask of all bands: 0 where a pixel is masked."""

    def build_overviews(self, factors: Sequence[int]) -> None:
        """Add overviews that are smaller by some factors."""

    def update_tags(self, bidx: int = 0, /, **tags: str) -> None:
        """Set metadata of the file, or of a band."""

    def set_band_description(self, bidx: int, value: str) -> None:
        """Set a band's name."""

    def write_colormap(self, bidx: int, colormap: dict[int, tuple[int, ...]]) -> None:
        """Set the colours (red, green, blue, alpha; 0 … 255) of a band's values."""
