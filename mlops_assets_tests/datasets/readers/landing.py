"""A folder as a layout sees it, and rasters to put there."""

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
from mlops_assets.datasets.readers import LAYOUTS
from mlops_assets.datasets.sources import open_landing
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.storage import Workspace

# 10 m, 3° W, 42.4° N
UTM = {
    "crs": "EPSG:32630",
    "transform": Affine(10, 0, 500_000, 0, -10, 4_700_000),
}


def read_landing(folder: Path, specification: DatasetSpecification) -> Contents:
    """Return what the declared layout finds in a folder."""
    workspace = Workspace(folder.parent.as_uri())
    source = specification.source.model_copy(update={"url": str(folder)})
    landing = open_landing(workspace, source)
    landed = Landed(workspace, landing, landing.list(), folder.parent / "staging", landing.scenes)
    return LAYOUTS[source.layout].contents(landed, specification)


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
            raster.descriptions = names


def mirrored(image: NDArray[Any], centres: NDArray[np.int64], size: int) -> NDArray[Any]:
    """Return the patches around pixels of an image (bands, rows, columns), mirrored at edges."""
    half = size // 2
    padded = np.pad(image, ((0, 0), (half, half), (half, half)), mode="symmetric")
    return np.stack([padded[:, r : r + size, c : c + size] for r, c in centres])
