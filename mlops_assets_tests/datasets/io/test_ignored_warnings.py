"""Rasters without a georeference are opened by many threads without a warning."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from mlops_assets.datasets.io.rasters import open_raster


def test_threads_that_leave_first_bring_no_warning_back(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    profile = {"driver": "GTiff", "height": 4, "width": 4, "count": 1, "dtype": "uint8"}
    with open_raster(path, "w", **profile) as raster:
        raster.write(np.zeros((1, 4, 4), np.uint8))

    def read(_: int) -> int:
        with open_raster(path) as raster:
            return int(raster.width)

    before = list(warnings.filters)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(read, range(300))) == {4}
    assert warnings.filters == before
