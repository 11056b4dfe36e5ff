"""Media types of files by the ending of their names, as STAC's best practices have them.

No file is read.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

GEOTIFF = "image/tiff; application=geotiff"
COG = f"{GEOTIFF}; profile=cloud-optimized"
PARQUET = "application/vnd.apache.parquet"
SIGSTORE = "application/vnd.dev.sigstore.bundle.v0.3+json"
UNKNOWN = "application/octet-stream"
MEDIA_TYPES = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".txt": "text/plain",
    ".json": "application/json",
    ".geojson": "application/geo+json",
    ".gpkg": "application/geopackage+sqlite3",
    ".parquet": PARQUET,
    ".geoparquet": PARQUET,
    ".tif": GEOTIFF,
    ".tiff": GEOTIFF,
    ".jp2": "image/jp2",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".nc": "application/netcdf",
    ".h5": "application/x-hdf5",
    ".hdf5": "application/x-hdf5",
    ".xml": "application/xml",
    ".html": "text/html",
    ".svg": "image/svg+xml",
    ".md": "text/markdown",
    ".onnx": "application/octet-stream; framework=onnx",
}


def media_type(path: str) -> str:
    """Return the media type of one file, `application/octet-stream` for an unknown ending."""
    return MEDIA_TYPES.get(posixpath.splitext(path)[1].lower(), UNKNOWN)


def media_types(paths: pd.Series) -> pd.Series:
    """Return the media type of many files.

    Args:
        paths: texts.

    Returns:
        Media types with the index of `paths`.
    """
    endings = paths.str.extract(r"(\.[^./]*)$", expand=False).str.lower()
    return endings.map(MEDIA_TYPES).fillna(UNKNOWN)
