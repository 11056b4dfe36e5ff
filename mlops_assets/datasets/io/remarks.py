"""Remarks on single images, kept in their manifest rows, and the notes made of them.

Values are read as they are stored, as rasterio, torchvision and TensorFlow do. A viewer rotates an
image by its EXIF orientation, and displays the colours of a palette; a remark marks an image that
it would display differently.
"""

from __future__ import annotations

import struct
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mlops_assets.datasets.io.rasterio_types import Raster
from mlops_assets.datasets.versions.contents import FileRow

EMPTY = "empty"
PALETTE = "palette"
TURNED = "turned"
TEXTS = {
    EMPTY: (
        "no pixel has data (nodata, alpha, mask, NaN); left out of all splits; remove it, or"
        " replace it"
    ),
    PALETTE: (
        "has a palette; its values are the indices of colours, not colours; convert it to RGB "
        "(gdal_translate -expand rgb) if colours are meant"
    ),
    TURNED: (
        "has an EXIF orientation, by which viewers rotate it; it is read as stored; rotate the"
        " pixels (PIL's ImageOps.exif_transpose) if the upright image is meant"
    ),
}
_MAX_BANDS = 6  # of a TIFF that Pillow opens; of others it logs an error
_ORIENTATION = 274  # tag of EXIF and TIFF; 1 is as stored
_HEAD = 4096  # bytes in which a PNG has its EXIF, if any: it comes before the pixels


def remarks_of(raster: Raster) -> list[str] | None:
    """Return the remarks on an open raster that a viewer displays differently, None without any."""
    from rasterio.enums import ColorInterp

    found = [PALETTE] if raster.colorinterp[0] == ColorInterp.palette else []
    if _orientation(raster) not in (None, 1):
        found.append(TURNED)
    return found or None


def remark_notes(rows: Iterable[FileRow]) -> list[str]:
    """Return a note on each kind of remark: the first file, and how many there are.

    Args:
        rows: manifest rows of images, with path and remarks.
    """
    having: dict[str, list[str]] = {kind: [] for kind in TEXTS}
    for row in rows:
        for kind in row["remarks"] or ():
            having[kind].append(row["path"])
    return [
        f"{paths[0]}{f' ({len(paths)} file(s))' if len(paths) > 1 else ''}: {TEXTS[kind]}"
        for kind, paths in having.items()
        if paths
    ]


def _orientation(raster: Raster) -> int | None:
    """Return the EXIF orientation of an image.

    GDAL reports that of JPEG only; a georeferenced raster is never rotated.
    """
    if raster.driver == "JPEG":
        text = raster.tags().get("EXIF_Orientation", "")
        return int(text) if text.isdecimal() else None
    if raster.driver not in ("PNG", "WEBP", "GTiff") or raster.crs is not None:
        return None
    if raster.count > _MAX_BANDS:
        return None
    local = Path(raster.name)
    if raster.driver == "PNG":
        with local.open("rb", buffering=0) as stream:
            if b"eXIf" not in stream.read(_HEAD):
                return None
    from PIL import Image

    # not every TIFF is an image to Pillow, a very large one is not a photograph, and damage is
    # found where pixels are read
    refused = (OSError, SyntaxError, ValueError, struct.error, Image.DecompressionBombError)
    with suppress(*refused), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(local) as image:
            return image.getexif().get(_ORIENTATION)
    return None
