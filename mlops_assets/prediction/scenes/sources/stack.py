"""Bands of several files as one raster on one grid, with one mask: a VRT.

Bands whose pixels are the grid's stay in their files. Others are resampled: values bilinearly, from
valid pixels only, codes and embeddings by the nearest pixel. A pixel has data where the nearest
pixel of each band has, and no mask hides it.
"""

from __future__ import annotations

import xml.etree.ElementTree as ET  # nosec B405
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.rasterio_types import Raster, Window
from mlops_assets.datasets.io.rasters import (
    BandRoles,
    band_roles,
    hides_values,
    open_raster,
    require_real,
    strips,
    value_mask,
)
from mlops_assets.prediction.scenes.sources.grids import Geometry, PixelGrid

_WARP_MEGABYTES = 128
_BLOCK = 512
_MASK_BYTES = 32 << 20  # of the rows of a mask that are held at once
# a VRT may name files of these formats, whatever lies beside them
_NAMED_BY_VRT = ("GTiff", "JP2OpenJPEG")
# of GDAL, by NumPy's names
_GDAL_TYPES = {
    "uint8": "Byte",
    "int8": "Int8",
    "uint16": "UInt16",
    "int16": "Int16",
    "uint32": "UInt32",
    "int32": "Int32",
    "uint64": "UInt64",
    "int64": "Int64",
    "float32": "Float32",
    "float64": "Float64",
}
# returns which pixels of a window are valid, (rows, columns)
Valid: TypeAlias = Callable[[Raster, Window], NDArray[np.bool_]]


@dataclass(frozen=True)
class StackedBand:
    """A band of a stack.

    Attributes:
        path: of its file.
        number: in the file, counted from 1.
        name: its description in the stack.
        codes: whether values between its values mean nothing, so that the nearest is taken.
        nodata: means 'no data' where the file itself declares no such value; None if none does.
    """

    path: Path
    number: int
    name: str
    codes: bool
    nodata: float | None = None


@dataclass(frozen=True)
class Codes:
    """A raster whose values hide pixels.

    Attributes:
        path: of its file; its first band counts.
        invalid: values that hide a pixel; those that the file declares as nodata do, too.
    """

    path: Path
    invalid: tuple[float, ...]

    def shows(self, raster: Raster, window: Window) -> NDArray[np.bool_]:
        """Return which pixels of a window of the open file are not hidden."""
        codes = raster.read([1], window=window)
        valid = value_mask(raster, window, BandRoles((1,), None), codes)
        return np.asarray((valid & ~np.isin(codes, self.invalid))[0])


def stack(
    bands: Sequence[StackedBand],
    grid: PixelGrid,
    hidden: Codes | None,
    area: Geometry | None,
    folder: Path,
) -> Path | None:
    """Write bands as one raster.

    Args:
        bands: in order.
        grid: of the raster.
        hidden: hides pixels by their codes.
        area: GeoJSON polygons in the CRS of the grid, outside of which there is no data.
        folder: where the raster and its files are written.

    Returns:
        Path of the VRT; None if masks and area leave no pixel.

    Raises:
        ValueError: a file cannot be read, or has complex numbers.
    """
    sources: dict[StackedBand, _Source] = {}
    masks: list[Path] = []
    for number, path in enumerate(dict.fromkeys(band.path for band in bands)):
        own = [band for band in bands if band.path == path]
        with open_raster(path) as raster:
            require_real(raster)
            file = _File(raster, grid, folder, f"file-{number}")
            plain = file.sources(own)
            if file.offset is None:
                masks.append(file.mask(_valid_in(own)))
                plain = [file.resampled(source) for source in plain]
            elif hides_values(raster, _roles(raster, own)):
                masks.append(file.mask(_valid_in(own)))
            sources |= dict(zip(own, plain, strict=True))
    if hidden is not None:
        with open_raster(hidden.path) as raster:
            masks.append(_File(raster, grid, folder, "codes").mask(hidden.shows))
    mask = None
    if masks or area is not None:
        mask = folder / "valid.tif"
        if not _write_mask(mask, grid, _together(masks, grid, area)):
            return None
    path = folder / "scene.vrt"
    path.write_bytes(_document([sources[band] for band in bands], grid, mask))
    return path


@dataclass(frozen=True)
class _Source:
    """A band of a VRT.

    Attributes:
        path: of the file.
        number: of the band in the file.
        start: column and row of the file where the grid begins.
        band: in the stack.
        dtype: NumPy's name.
        nodata: as declared.
        scaling: scale and offset to physical values.
    """

    path: Path
    number: int
    start: tuple[int, int]
    band: StackedBand
    dtype: str
    nodata: float | None
    scaling: tuple[float, float]


class _File:
    """An open file, read on the grid of a stack.

    Attributes:
        offset: column and row of the file where the grid begins; None if the file has to be
            resampled.
    """

    def __init__(self, raster: Raster, grid: PixelGrid, folder: Path, name: str) -> None:
        self._raster = raster
        self._own = PixelGrid.of(raster)
        self._grid = grid
        self._folder = folder
        self._name = name
        self.offset = self._own.offset(grid)
        if self.offset is None and (self._own.crs is None or grid.crs is None):
            raise ValueError(
                "has no georeference, so it cannot be read on the grid of another file; give it one"
            )

    def sources(self, bands: Sequence[StackedBand]) -> list[_Source]:
        """Return bands of the file, from a copy if a VRT may not name it."""
        raster = self._raster
        path = bands[0].path
        named = raster.driver in _NAMED_BY_VRT and not set("<:\\") & set(str(path))
        found = [
            _Source(
                path,
                band.number,
                self.offset or (0, 0),
                band,
                raster.dtypes[band.number - 1],
                _nodata(raster, band),
                (raster.scales[band.number - 1], raster.offsets[band.number - 1]),
            )
            for band in bands
        ]
        return found if named else [self._copied(source) for source in found]

    def mask(self, valid: Valid) -> Path:
        """Write which pixels are valid: on the grid, by the nearest pixel of the file."""
        target = self._folder / f"{self._name}-valid.tif"
        if self.offset is not None:
            _write_mask(target, self._grid, self._valid(valid, self._grid, self.offset))
            return target
        _write_mask(self._own_mask, self._own, self._valid(valid, self._own, (0, 0)))
        _warp(self._own_mask, target, self._grid, "uint8", codes=True)
        return target

    def resampled(self, source: _Source) -> _Source:
        """Return a band on the grid; its mask was written before."""
        document = self._folder / f"{self._name}-{source.number}.vrt"
        document.write_bytes(_document([replace(source, nodata=None)], self._own, self._own_mask))
        target = document.with_suffix(".tif")
        _warp(document, target, self._grid, source.dtype, source.band.codes)
        return replace(source, path=target, number=1, start=(0, 0), nodata=None)

    @property
    def _own_mask(self) -> Path:
        return self._folder / f"{self._name}-own-valid.tif"

    def _valid(
        self, valid: Valid, grid: PixelGrid, start: tuple[int, int]
    ) -> Iterator[NDArray[np.bool_]]:
        from rasterio.windows import Window

        for top, height in _rows(grid):
            yield valid(self._raster, Window(start[0], start[1] + top, grid.width, height))

    def _copied(self, source: _Source) -> _Source:
        target = self._folder / f"{self._name}-{source.number}-copy.tif"
        with open_raster(target, "w", **_profile(self._own, source.dtype)) as copy:
            for top, bottom in strips(self._raster):
                window = ((top, bottom), (0, self._own.width))
                copy.write(self._raster.read(source.number, window=window), 1, window=window)
        return replace(source, path=target, number=1)


def _roles(raster: Raster, bands: Sequence[StackedBand]) -> BandRoles:
    numbers = tuple(band.number for band in bands)
    alpha = band_roles(raster).alpha
    return BandRoles(numbers, None if alpha in numbers else alpha)


def _nodata(raster: Raster, band: StackedBand) -> float | None:
    declared = raster.nodatavals[band.number - 1]
    return band.nodata if declared is None else declared


def _valid_in(bands: Sequence[StackedBand]) -> Valid:
    """Return the pixels that have data in all of some bands."""

    def valid(raster: Raster, window: Window) -> NDArray[np.bool_]:
        roles = _roles(raster, bands)
        values = raster.read(list(roles.measured), window=window)
        # NaN differs from itself
        known = value_mask(raster, window, roles, values) & (values == values)
        for found, pixels, band in zip(known, values, bands, strict=True):
            nodata = _nodata(raster, band)
            if nodata is not None:
                found &= pixels != nodata
        return np.asarray(known.all(axis=0))

    return valid


def _together(
    masks: Sequence[Path], grid: PixelGrid, area: Geometry | None
) -> Iterator[NDArray[np.bool_]]:
    """Yield the rows of a grid that all masks and the area leave."""
    from rasterio.features import geometry_mask

    with ExitStack() as opened:
        rasters = [opened.enter_context(open_raster(path)) for path in masks]
        for top, height in _rows(grid):
            window = ((top, top + height), (0, grid.width))
            shape = (height, grid.width)
            valid = np.ones(shape, dtype=bool)
            if area is not None:
                place = grid.window(0, top, grid.width, height).transform
                valid &= geometry_mask([area], shape, place, invert=True)
            for raster in rasters:
                valid &= raster.read(1, window=window) > 0
            yield valid


def _rows(grid: PixelGrid) -> Iterator[tuple[int, int]]:
    """Yield the first row and the number of rows, in whole tiles."""
    height = max(_MASK_BYTES // grid.width // _BLOCK, 1) * _BLOCK
    for top in range(0, grid.height, height):
        yield top, min(height, grid.height - top)


def _write_mask(path: Path, grid: PixelGrid, rows: Iterator[NDArray[np.bool_]]) -> bool:
    """Write 255 where pixels are valid, 0 elsewhere, and return whether there are valid ones."""
    some = False
    top = 0
    profile = _profile(grid, "uint8") | {"compress": "deflate", "zlevel": 1}
    with open_raster(path, "w", **profile) as raster:
        for valid in rows:
            some = some or bool(valid.any())
            window = ((top, top + len(valid)), (0, grid.width))
            raster.write(valid.astype(np.uint8) * 255, 1, window=window)
            top += len(valid)
    return some


def _warp(source: Path, target: Path, grid: PixelGrid, dtype: str, codes: bool) -> None:
    """Resample the first band of a raster; where it has no valid pixel, the result is 0."""
    from rasterio import band
    from rasterio.warp import Resampling, reproject

    with open_raster(source) as raster, open_raster(target, "w", **_profile(grid, dtype)) as out:
        reproject(
            band(raster, 1),
            band(out, 1),
            resampling=Resampling.nearest if codes else Resampling.bilinear,
            warp_mem_limit=_WARP_MEGABYTES,
        )


def _profile(grid: PixelGrid, dtype: str) -> dict[str, object]:
    return {
        "driver": "GTiff",
        "width": grid.width,
        "height": grid.height,
        "count": 1,
        "dtype": dtype,
        "crs": grid.crs,
        "transform": grid.transform,
        "tiled": True,
        "blockxsize": _BLOCK,
        "blockysize": _BLOCK,
        "BIGTIFF": "IF_SAFER",
    }


def _document(sources: Sequence[_Source], grid: PixelGrid, mask: Path | None) -> bytes:
    """Return the VRT of bands on a grid."""
    # rasterio reads bands of one type only
    dtype = np.result_type(*(source.dtype for source in sources)).name
    root = ET.Element("VRTDataset", rasterXSize=str(grid.width), rasterYSize=str(grid.height))
    if grid.crs is not None:
        ET.SubElement(root, "SRS").text = grid.crs.to_wkt()
    if not grid.transform.is_identity:
        place = ", ".join(map(repr, grid.transform.to_gdal()))
        ET.SubElement(root, "GeoTransform").text = place
    for number, source in enumerate(sources, start=1):
        band = _band(root, grid, _GDAL_TYPES[dtype], source)
        band.set("band", str(number))
        ET.SubElement(band, "Description").text = source.band.name
        if source.nodata is not None:
            ET.SubElement(band, "NoDataValue").text = repr(source.nodata)
        scale, offset = source.scaling
        ET.SubElement(band, "Offset").text = repr(offset)
        ET.SubElement(band, "Scale").text = repr(scale)
    if mask is not None:
        valid = replace(sources[0], path=mask, number=1, start=(0, 0))
        _band(ET.SubElement(root, "MaskBand"), grid, "Byte", valid)
    return cast("bytes", ET.tostring(root, encoding="utf-8"))


def _band(root: ET.Element, grid: PixelGrid, kind: str, source: _Source) -> ET.Element:
    band = ET.SubElement(root, "VRTRasterBand", dataType=kind)
    simple = ET.SubElement(band, "SimpleSource")
    ET.SubElement(simple, "SourceFilename", relativeToVRT="0").text = str(source.path)
    ET.SubElement(simple, "SourceBand").text = str(source.number)
    column, row = source.start
    size = {"xSize": str(grid.width), "ySize": str(grid.height)}
    ET.SubElement(simple, "SrcRect", {"xOff": str(column), "yOff": str(row), **size})
    ET.SubElement(simple, "DstRect", {"xOff": "0", "yOff": "0", **size})
    return band
