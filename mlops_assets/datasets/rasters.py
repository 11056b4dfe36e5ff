"""Opening rasters in one way: plain errors, and no noise about a missing georeference, which is allowed here."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

STRIP_ROWS = 256  # rows of a scene held in memory at once


@contextmanager
def open_raster(local: Path, mode: str = "r", **profile: Any) -> Iterator[Any]:
    """Open a raster with rasterio.

    Raises:
        ValueError: it cannot be opened, read or written; the message has the reason without local folders.
    """
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning, RasterioError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        try:
            with rasterio.open(local, mode, **profile) as raster:
                yield raster
        except RasterioError as error:
            raise ValueError(f"cannot be read or written as a raster: {_reason(error)}; replace the file") from error


def read_strip(raster: Any, top: int, bottom: int, half: int) -> NDArray[Any]:
    """Read the rows [top, bottom) of an open raster with `half` pixels around; beyond the edges pixels are mirrored.

    Returns:
        Shape (bands, bottom - top + 2 * half, width + 2 * half), in the raster's own type.
    """
    from rasterio.windows import Window

    first, last = max(top - half, 0), min(bottom + half, raster.height)
    strip = raster.read(window=Window(0, first, raster.width, last - first))
    above, below = half - (top - first), half - (last - bottom)
    return np.pad(strip, ((0, 0), (above, below), (half, half)), mode="symmetric")


def _reason(error: Exception) -> str:
    text = str(error.__cause__ or error).replace("\n", " ")
    return re.sub(r"'?(/[^\s':]+)'?", lambda match: PurePosixPath(match.group(1)).name, text)
