"""Opening rasters in one way: plain errors, bounded memory, and no noise about a missing georeference."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIP_ROWS = 256  # rows of a scene held in memory at once, fewer where the scene is very wide
STRIP_BYTES = 128 << 20
GDAL = {
    "GDAL_CACHEMAX": 128,  # MB; its own default is a twentieth of the machine's memory
    "GDAL_PNG_WHOLE_IMAGE_OPTIM": False,  # GDAL 3.10 reads truncated PNGs as garbage, and says nothing, if it is on
}
# A compressed file may hold much more than its size; beyond this a header lies, or the file is a bomb. Deflate itself
# ends at 1,032:1; a file of nothing but nodata in a sparse GeoTIFF would be refused, and is no training data.
GREATEST_RATIO = 4000


@contextmanager
def open_raster(local: Path, mode: str = "r", **profile: Any) -> Iterator[Any]:
    """Open a raster with rasterio.

    Raises:
        ValueError: it cannot be opened, read or written, or declares more pixels than its bytes can hold; the message
            has the reason without local folders.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with warnings.catch_warnings(), rasterio.Env(**GDAL):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(local, mode, **profile) as raster:
                if mode == "r":
                    _require_believable(local, raster)
                yield raster
        except RasterioError as error:
            raise ValueError(f"cannot be read or written as a raster: {_reason(error)}; replace the file") from error


def _require_believable(local: Path, raster: Any) -> None:
    declared = raster.width * raster.height * sum(numpy_type(dtype).itemsize for dtype in raster.dtypes)
    stored = local.stat().st_size
    if declared > GREATEST_RATIO * max(stored, 1024):
        raise ValueError(
            f"declares {raster.width} x {raster.height} pixels of {raster.count} band(s), {declared:,} bytes, but the "
            f"file has {stored:,} bytes; the header lies or the file is truncated; replace the file"
        )


def strips(raster: Any, rows: int = STRIP_ROWS) -> Iterator[tuple[int, int]]:
    """Yield (top, bottom) of strips of an open raster, from top to bottom, each small enough to be held in memory."""
    row_bytes = raster.width * sum(numpy_type(dtype).itemsize for dtype in raster.dtypes)
    step = max(1, min(rows, STRIP_BYTES // max(row_bytes, 1)))
    for top in range(0, raster.height, step):
        yield top, min(top + step, raster.height)


def read_strip(raster: Any, top: int, bottom: int, half: int, bands: Sequence[int] | None = None) -> NDArray[Any]:
    """Read the rows [top, bottom) of an open raster with `half` pixels around; beyond the edges pixels are mirrored.

    Only the given `bands` are read, counted from 1; all if none are given.

    Returns:
        Shape (bands, bottom - top + 2 * half, width + 2 * half), in the raster's own type.
    """
    from rasterio.windows import Window

    first, last = max(top - half, 0), min(bottom + half, raster.height)
    strip = raster.read(bands, window=Window(0, first, raster.width, last - first))
    above, below = half - (top - first), half - (last - bottom)
    return np.pad(strip, ((0, 0), (above, below), (half, half)), mode="symmetric")


def numpy_type(name: str) -> np.dtype[Any]:
    """Return the type of arrays that pixels of a type are read as; numpy has no complex integers."""
    return np.dtype({"complex_int16": "complex64"}.get(name, name))


def bounds_of(transform: Any, height: int, width: int) -> tuple[float, float, float, float]:
    """Return the least x and y and the greatest x and y of a grid of any orientation, in units of its CRS."""
    x, y = zip(*(transform @ corner for corner in ((0, 0), (width, 0), (0, height), (width, height))), strict=True)
    return min(x), min(y), max(x), max(y)


def raster_facts(raster: Any) -> dict[str, Any]:
    """Return what an open raster says about itself, as a manifest row has it; what it does not say is None."""
    from rasterio.warp import transform_bounds

    crs = raster.crs
    nodata = raster.nodata
    return {
        "height": raster.height,
        "width": raster.width,
        "count": raster.count,
        "dtype": raster.dtypes[0],
        "nodata": None if nodata is None else float(nodata),
        "crs": crs.to_string() if crs else None,
        "transform": list(raster.transform)[:6] if crs else None,
        "bbox": list(transform_bounds(crs, "EPSG:4326", *bounds_of(raster.transform, raster.height, raster.width)))
        if crs
        else None,
        "datetime": acquired(raster),
    }


def band_names(raster: Any, first: int = 1) -> list[str]:
    """Return the descriptions of the bands; one without is called B and its number, counted from `first`."""
    return [text or f"B{i:03d}" for i, text in enumerate(raster.descriptions, start=first)]


def require_finite(pixels: NDArray[Any], nodata: float | None) -> None:
    """NaN is 'no data' where that is declared; infinity is no measurement."""
    if pixels.dtype.kind != "f":
        return
    if np.isinf(pixels).any():
        raise ValueError("has infinite values; replace them, with the nodata value if nothing is known there")
    if nodata is None and np.isnan(pixels).any():
        raise ValueError("has NaN values but declares no nodata value; set nodata, or replace them")


def acquired(raster: Any) -> datetime | None:
    """Return when the image was taken, if the file says so.

    Only GDAL's IMAGERY domain tells (https://gdal.org/en/stable/user/raster_data_model.html#imagery-domain-remote-sensing);
    TIFFTAG_DATETIME is when the file was written.
    """
    text = raster.tags(ns="IMAGERY").get("ACQUISITIONDATETIME")
    try:
        found = datetime.fromisoformat(text) if text else None
    except ValueError:
        return None
    return found.replace(tzinfo=UTC) if found and found.tzinfo is None else found


def dated(text: str, form: str) -> datetime | None:
    """Return the first date in a text that has the form of strptime codes, UTC; None if there is none."""
    parts = {"%Y": r"\d{4}", "%y": r"\d{2}", "%j": r"\d{3}", "%b": "[A-Za-z]{3}"}
    expression = re.sub(
        r"%[A-Za-z]|[^%]+", lambda m: parts.get(m[0], r"\d{2}") if m[0][0] == "%" else re.escape(m[0]), form
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
