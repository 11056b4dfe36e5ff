"""Tables and rasters to put into a landing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rasterio import Affine

from mlops_assets.datasets.io.rasters import open_raster

# 10 m, 3° W, 42.4° N
UTM = {
    "crs": "EPSG:32630",
    "transform": Affine(10, 0, 500_000, 0, -10, 4_700_000),
}


def write_tables(folder: Path, files: Mapping[str, pd.DataFrame | bytes | str]) -> None:
    """Write tables in the format of their endings, and other files as they are given."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, pd.DataFrame):
            (
                content.to_parquet(path)
                if name.endswith(".parquet")
                else content.to_csv(path, index=False)
            )
        else:
            path.write_bytes(content.encode() if isinstance(content, str) else content)


def await_tick(path: Path) -> None:
    """Wait until the clock that file times are taken from has moved on since a file was written."""
    probe, deadline = path.with_name(f".{path.name}.probe"), time.monotonic() + 60
    probe.touch()
    while probe.stat().st_ctime_ns <= path.stat().st_ctime_ns:
        assert time.monotonic() < deadline, f"the clock of the file system stands still at {path}"
        time.sleep(0.001)
        probe.touch()
    probe.unlink()


def write_raster(
    path: Path, array: NDArray[Any], names: Sequence[str | None] | None = None, **profile: Any
) -> None:
    """Write an array of shape (bands, rows, columns) in the format of its ending.

    An array of one band may have the shape (rows, columns).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    array = array if array.ndim == 3 else array[None]
    if path.suffix == ".npy":
        np.save(path, array)
        return
    bands, height, width = array.shape
    driver = {".png": "PNG", ".jpg": "JPEG", ".img": "ENVI"}.get(path.suffix, "GTiff")
    shape = {"height": height, "width": width, "count": bands, "dtype": array.dtype.name}
    with open_raster(path, "w", driver=driver, **shape, **profile) as raster:
        raster.write(array)
        if names:
            raster.descriptions = tuple(names)
