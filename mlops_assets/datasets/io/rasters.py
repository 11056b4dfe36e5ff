"""Rasters, opened with plain errors, bounded memory and no warnings about a missing georeference.

Bands are counted from 1, as GDAL does. How samples are cut from a raster is in `datasets/readers`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path, PurePosixPath
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from mlops_assets.datasets.io.git_lfs import POINTER, is_pointer_file
from mlops_assets.datasets.io.ignored_warnings import ignored_warnings
from mlops_assets.datasets.io.raster_formats import (
    ERDAS,
    VRT,
    driver_of,
    require_contained,
    stands_alone,
)
from mlops_assets.datasets.io.raster_places import box_on_earth, georeference
from mlops_assets.datasets.io.rasterio_types import Raster, Window, WritableRaster
from mlops_assets.datasets.io.remarks import remarks_of
from mlops_assets.datasets.versions.contents import FileRow

STRIP_ROWS = 256  # rows of a scene held in memory at once, fewer where the scene is very wide
STRIP_BYTES = 128 << 20
GDAL = {
    "RAW_CHECK_FILE_SIZE": True,  # or what a truncated raw file lacks is read as zeros
    "GDAL_CACHEMAX": 128,  # MB; its own default is a twentieth of the machine's memory
    # GDAL 3.10 reads truncated PNGs as garbage without an error if it is on
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,
    # the only file that its network file systems then open
    "CPL_VSIL_CURL_ALLOWED_FILENAME": "none",
}
# A compressed file may hold much more than its size; beyond this its header is wrong, or the file
# is a decompression bomb. Deflate itself ends at 1,032:1; a file of nothing but nodata in a sparse
# GeoTIFF would be refused, and is not training data.
MAX_RATIO = 4000
# of all bands; a Sentinel-2 scene of four bands in one strip has half of it
MAX_BLOCK_BYTES = 1 << 30
ALPHA = "alpha"
Reading = Literal["raw", "physical", "mask"]


@overload
def open_raster(local: Path) -> AbstractContextManager[Raster]: ...


@overload
def open_raster(
    local: Path, mode: Literal["r+", "w"], **profile: object
) -> AbstractContextManager[WritableRaster]: ...


@contextmanager
def open_raster(
    local: Path, mode: Literal["r", "r+", "w"] = "r", **profile: object
) -> Iterator[WritableRaster]:
    """Open a raster with rasterio, and nothing of another folder or host.

    Args:
        local: the raster's file; it is read with the one driver of its format.
        mode: `r` to read, `r+` to change, `w` to write a new file.
        **profile: rasterio's options for writing: driver, height, width, count, dtype, crs, …

    Yields:
        The open dataset; it is closed at the end.

    Raises:
        ValueError: it cannot be opened, read or written, or declares more pixels than its bytes can
            hold; the message has the reason without local folders.
    """
    import rasterio
    from rasterio._err import CPLE_BaseError
    from rasterio.errors import NodataShadowWarning, NotGeoreferencedWarning, RasterioError

    alone = False
    if mode == "r":
        profile["driver"] = _safe_driver(local)
        # or GDAL lists the folder for every raster in it
        alone = profile["driver"] != VRT and stands_alone(local)
    # alpha is read all the same as nodata, see `value_mask`
    ignored = ignored_warnings((NotGeoreferencedWarning, NodataShadowWarning))
    with ignored, rasterio.Env(**GDAL, GDAL_DISABLE_READDIR_ON_OPEN=alone):
        try:
            with rasterio.open(local, mode, **profile) as raster:
                if mode == "r":
                    _require_believable(local, raster)
                yield raster
        except (RasterioError, CPLE_BaseError) as error:
            reason = f"cannot be read or written as a raster: {_reason(error)}; replace the file"
            raise ValueError(
                POINTER if local.is_file() and is_pointer_file(local) else reason
            ) from error


def _safe_driver(local: Path) -> str:
    """Return the driver for a raster that GDAL may open.

    Raises:
        ValueError: it may not.
    """
    try:
        driver = driver_of(local)
        require_contained(local)
    except OSError as error:
        raise ValueError(
            f"cannot be read as a raster: {error.strerror}; replace the file"
        ) from error
    except ValueError as error:
        raise ValueError(POINTER if is_pointer_file(local) else str(error)) from error
    return driver


def _require_believable(local: Path, raster: Raster) -> None:
    if "OVERVIEW_FILE" in raster.tags(ns="OVERVIEWS"):
        raise ValueError(
            "names a file of overviews in its metadata; remove that entry, and build them as .ovr"
        )
    if raster.driver == ERDAS:
        _require_pixels_beside(local, raster)
    declared = (
        raster.width * raster.height * sum(numpy_type(dtype).itemsize for dtype in raster.dtypes)
    )
    # of a VRT, the files that it names have the pixels
    files = map(Path, raster.files) if raster.driver == VRT else [local]
    stored = sum(file.stat().st_size for file in files)
    if declared > MAX_RATIO * max(stored, 1024):
        raise ValueError(
            f"declares {raster.width} x {raster.height} pixels of {raster.count} band(s),"
            f" {declared:,} bytes, but the file has {stored:,} bytes; the header is wrong or the"
            " file is truncated; replace the file"
        )
    largest = (
        max(rows * columns for rows, columns in raster.block_shapes)
        * declared
        // (raster.width * raster.height)
    )
    if largest > MAX_BLOCK_BYTES:
        raise ValueError(
            f"has tiles or strips of {largest:,} bytes, which are read whole; rewrite it with tiles"
            " of 512 x 512 pixels"
        )


def _require_pixels_beside(local: Path, raster: Raster) -> None:
    """Check that the pixels of an Erdas image are in its own file or beside it.

    Its header may name a file of any folder.

    Raises:
        ValueError: they are in another folder.
    """
    for other in map(Path, raster.files):
        if other.parent != local.parent:
            raise ValueError(
                f"has its pixels in a file of another folder, {other.name}; convert it to GeoTIFF"
            )


def strips(raster: Raster, rows: int | None = None) -> Iterator[tuple[int, int]]:
    """Yield (top, bottom) of strips of an open raster, from top to bottom.

    Args:
        raster: an open raster.
        rows: rows of a strip, `STRIP_ROWS` if None; fewer where `STRIP_BYTES` would not hold all
            bands of so many.

    Yields:
        First row, and one past the last row.
    """
    row_bytes = raster.width * sum(numpy_type(dtype).itemsize for dtype in raster.dtypes)
    step = max(1, min(rows or STRIP_ROWS, STRIP_BYTES // max(row_bytes, 1)))
    for top in range(0, raster.height, step):
        yield top, min(top + step, raster.height)


def read_strip(
    raster: Raster,
    top: int,
    bottom: int,
    half: int,
    bands: Sequence[int] | None = None,
    what: Reading = "raw",
) -> NDArray[np.generic]:
    """Read the rows [top, bottom) of an open raster with `half` pixels around.

    Beyond the edges pixels are mirrored.

    Args:
        raster: an open raster.
        top: first row.
        bottom: one past the last row.
        half: pixels added on each side.
        bands: which to read, counted from 1; all if none are given.
        what: see `read_values`.

    Returns:
        Shape (bands, bottom - top + 2 * half, width + 2 * half), of the type that `read_values`
        gives.
    """
    from rasterio.windows import Window

    first = max(top - half, 0)
    last = min(bottom + half, raster.height)
    strip = read_values(raster, Window(0, first, raster.width, last - first), bands, what)
    above = half - (top - first)
    below = half - (last - bottom)
    return np.pad(strip, ((0, 0), (above, below), (half, half)), mode="symmetric")


def read_values(
    raster: Raster, window: Window, bands: Sequence[int] | None = None, what: Reading = "raw"
) -> NDArray[np.generic]:
    """Read a window of an open raster.

    Args:
        raster: an open raster.
        window: rows and columns, as rasterio takes them.
        bands: which to read, counted from 1, in this order; all if none are given.
        what: values as stored (`raw`), by the file's scale and offset (`physical`), or which of
            them are valid by nodata, alpha and masks (`mask`).

    Returns:
        Shape (bands, height, width): the raster's own type for `raw`, float32 for `physical`, bool
        for `mask`.
    """
    values = np.asarray(raster.read(bands, window=window))
    if what == "raw":
        return values
    chosen = tuple(bands) if bands is not None else tuple(range(1, raster.count + 1))
    if what == "physical":
        return physical_values(raster, values, chosen)
    alpha = band_roles(raster).alpha
    return value_mask(raster, window, BandRoles(chosen, None if alpha in chosen else alpha), values)


def physical_values(
    raster: Raster, values: NDArray[np.generic], bands: Sequence[int]
) -> NDArray[np.float32]:
    """Return values times the scales plus the offsets that a raster declares.

    Args:
        raster: an open raster.
        values: stored values, shape (bands, height, width).
        bands: which bands they are, counted from 1.

    Returns:
        Physical values, float32 of the same shape.
    """
    chosen = np.array(bands) - 1
    scales = np.array(raster.scales)[chosen].reshape(-1, 1, 1)
    offsets = np.array(raster.offsets)[chosen].reshape(-1, 1, 1)
    return np.asarray(values * scales + offsets, dtype=np.float32)


def numpy_type(name: str) -> np.dtype[np.generic]:
    """Return NumPy's type for the pixels of a GDAL type; NumPy has no complex integers."""
    return np.dtype({"complex_int16": "complex64"}.get(name, name))


def raster_facts(raster: Raster, roles: BandRoles | None = None) -> FileRow:
    """Return the manifest row of an open raster, as far as the file itself has it.

    Args:
        raster: an open raster.
        roles: of its bands; found by `band_roles` if not given.

    Returns:
        Size, type, georeference, time and bands of the file; None where the file lacks one.
    """
    roles = roles or band_roles(raster)
    crs = georeference(raster)
    nodata = raster.nodata
    every = roles.measured == tuple(range(1, raster.count + 1))
    return {
        "height": raster.height,
        "width": raster.width,
        "count": raster.count,
        "dtype": raster.dtypes[0],
        "nodata": None if nodata is None else float(nodata),
        "crs": crs.to_string() if crs else None,
        "transform": list(raster.transform)[:6] if crs else None,
        "bbox": box_on_earth(raster),
        "datetime": acquired(raster),
        "band_names": own_band_names(raster, roles),
        "bands": None if every else list(roles.measured),
        "masked": True if hides_values(raster, roles) else None,
        **_scaled(raster, roles),
        "remarks": remarks_of(raster),
    }


def band_names(raster: Raster, roles: BandRoles | None = None, first: int = 1) -> list[str]:
    """Return the names of the measured bands: their descriptions, else B001, B002, ….

    Args:
        raster: an open raster.
        roles: of its bands; found by `band_roles` if not given.
        first: number of the first band.
    """
    roles = roles or band_roles(raster)
    descriptions = raster.descriptions
    texts = [descriptions[band - 1] for band in roles.measured]
    return [text or f"B{i:03d}" for i, text in enumerate(texts, start=first)]


def own_band_names(raster: Raster, roles: BandRoles) -> list[str] | None:
    """Return the names that a file has for its measured bands, if they are distinct.

    A band without a name is called by its number; None where no band has one.
    """
    descriptions = raster.descriptions
    texts = [
        descriptions[band - 1] or (ALPHA if band == roles.alpha else None)
        for band in roles.measured
    ]
    if not any(texts) or len(set(filter(None, texts))) < len([text for text in texts if text]):
        return None
    return [text or f"B{band:03d}" for text, band in zip(texts, roles.measured, strict=True)]


def require_real(raster: Raster) -> None:
    """Refuse complex numbers, as models take real ones.

    Raises:
        ValueError: a band is of a complex type.
    """
    kinds = sorted({kind for kind in raster.dtypes if numpy_type(kind).kind == "c"})
    if kinds:
        raise ValueError(
            f"has complex numbers ({', '.join(kinds)}), whose imaginary part would be lost; land"
            " their amplitude (gdal_translate DERIVED_SUBDATASET:AMPLITUDE:FILE AMPLITUDE.tif), or"
            " their real and imaginary part as two bands"
        )


@dataclass(frozen=True)
class BandRoles:
    """Roles of the bands of a raster, counted from 1.

    Attributes:
        measured: bands that hold measurements and may be features, in file order.
        alpha: the band that marks the pixels that have data, or None.
    """

    measured: tuple[int, ...]
    alpha: int | None


def band_roles(raster: Raster, names: Sequence[str] | None = None) -> BandRoles:
    """Separate measurements from alpha, which is not a feature unless it is named.

    A band of the colour alpha that has another name is a measurement: by default GDAL writes the
    fourth of four 8-bit bands so
    (https://gdal.org/en/stable/drivers/raster/gtiff.html, PHOTOMETRIC).

    Args:
        raster: an open raster.
        names: declared names of the bands; alpha is among them if there is a name for every band.
    """
    from rasterio.enums import ColorInterp

    named = names is not None and len(names) == raster.count
    texts = (
        names if names is not None and named else [text or ALPHA for text in raster.descriptions]
    )
    alphas = [
        band
        for band, (colour, text) in enumerate(zip(raster.colorinterp, texts, strict=True), start=1)
        if colour == ColorInterp.alpha and text.lower() == ALPHA
    ]
    measured = tuple(band for band in range(1, raster.count + 1) if named or band not in alphas)
    return BandRoles(
        measured or tuple(range(1, raster.count + 1)), alphas[0] if alphas and measured else None
    )


def _scaled(raster: Raster, roles: BandRoles) -> FileRow:
    """Return scales and offsets from values of measured bands to physical ones, None if 1 and 0."""
    every_scale = raster.scales
    every_offset = raster.offsets
    scales = [float(every_scale[band - 1]) for band in roles.measured]
    offsets = [float(every_offset[band - 1]) for band in roles.measured]
    plain = set(scales) == {1.0} and set(offsets) == {0.0}
    return {"scales": None if plain else scales, "offsets": None if plain else offsets}


def is_masked(raster: Raster, roles: BandRoles) -> bool:
    """Return whether some pixels of an open raster may have no data."""
    return roles.alpha is not None or bool(_mask_flags(raster, roles))


def hides_values(raster: Raster, roles: BandRoles) -> bool:
    """Return whether alpha or a mask hides pixels whose values may be anything."""
    from rasterio.enums import MaskFlags

    return roles.alpha is not None or any(
        own != {MaskFlags.nodata} for own in _mask_flags(raster, roles).values()
    )


def _mask_flags(raster: Raster, roles: BandRoles) -> dict[int, set[IntEnum]]:
    """Return the flags of the measured bands that have a mask of their own or a nodata value.

    Alpha is a role, not a flag.
    """
    from rasterio.enums import MaskFlags

    every = raster.mask_flag_enums
    flags = {band: set(every[band - 1]) for band in roles.measured}
    none = ({MaskFlags.all_valid}, {MaskFlags.per_dataset, MaskFlags.alpha})
    return {band: own for band, own in flags.items() if own not in none}


def valid_pixels(
    raster: Raster, window: Window, roles: BandRoles, pixels: NDArray[np.generic] | None = None
) -> NDArray[np.bool_]:
    """Return which pixels have data in at least one band.

    A value is missing where a nodata value, alpha, a mask of any kind or NaN marks it. This is
    `DatasetReader.dataset_mask`, except that all of them count, not only the first.

    Args:
        raster: an open raster.
        window: rows and columns, as rasterio takes them.
        roles: of its bands; only the measured ones and alpha count.
        pixels: values of the measured bands in the window, shape (bands, height, width), if they
            were read already.

    Returns:
        Bool of shape (height, width).
    """
    values = raster.read(list(roles.measured), window=window) if pixels is None else pixels
    known = values == values  # NaN differs from itself
    return np.asarray((value_mask(raster, window, roles, values) & known).any(axis=0))


def value_mask(
    raster: Raster, window: Window, roles: BandRoles, pixels: NDArray[np.generic]
) -> NDArray[np.bool_]:
    """Return which values of the measured bands are valid by nodata, alpha and masks.

    Args:
        raster: an open raster.
        window: rows and columns, as rasterio takes them.
        roles: of its bands.
        pixels: values of the measured bands in the window, shape (bands, height, width).

    Returns:
        Bool of the shape of `pixels`, true where a value is valid.
    """
    masked = _mask_flags(raster, roles)
    mask = np.ones(pixels.shape, dtype=bool)
    every_nodata = raster.nodatavals
    for found, values, band in zip(mask, pixels, roles.measured, strict=True):
        nodata = every_nodata[band - 1]
        if band in masked:
            found &= raster.read_masks(band, window=window) > 0
        if nodata is not None:
            found &= values != nodata
    if roles.alpha is not None:
        mask &= raster.read(roles.alpha, window=window) > 0
    return mask


def require_finite(
    pixels: NDArray[np.generic], nodata: float | None, mask: NDArray[np.bool_] | None = None
) -> None:
    """Refuse infinite values, and NaN where no nodata value is declared.

    Args:
        pixels: values of any shape; only floating-point values can be wrong.
        nodata: the value that means 'no data', if one is declared.
        mask: bool of the shape of `pixels`, true where a value is valid; hidden values are not
            checked.

    Raises:
        ValueError: a value is infinite, or NaN without a declared nodata value.
    """
    if pixels.dtype.kind != "f":
        return
    checked = True if mask is None else mask
    if np.isinf(pixels).any(where=checked):
        raise ValueError(
            "has infinite values; replace them, with the nodata value where they are unknown"
        )
    if nodata is None and np.isnan(pixels).any(where=checked):
        raise ValueError("has NaN values but declares no nodata value; set nodata, or replace them")


def acquired(raster: Raster) -> datetime | None:
    """Return when the image was taken, UTC unless the file has another zone; None if unknown.

    Only GDAL's IMAGERY domain has this time
    (https://gdal.org/en/stable/user/raster_data_model.html#imagery-domain-remote-sensing);
    TIFFTAG_DATETIME is when the file was written.
    """
    text = raster.tags(ns="IMAGERY").get("ACQUISITIONDATETIME")
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def dated(text: str, form: str) -> datetime | None:
    """Return the first date in a text that has a form of strptime codes, UTC; None without one."""
    parts = {"%Y": r"\d{4}", "%y": r"\d{2}", "%j": r"\d{3}", "%b": "[A-Za-z]{3}"}
    expression = re.sub(
        r"%[A-Za-z]|[^%]+",
        lambda m: parts.get(m[0], r"\d{2}") if m[0][0] == "%" else re.escape(m[0]),
        form,
    )
    for found in re.finditer(expression, text):
        try:
            return datetime.strptime(found[0], form).replace(tzinfo=UTC)
        except ValueError:
            continue
    return None


def _reason(error: Exception) -> str:
    text = str(error.__cause__ or error).replace("\n", " ")
    return re.sub(r"'?(/[^\s':]+)'?", lambda match: PurePosixPath(match.group(1)).name, text)
