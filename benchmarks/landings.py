"""Landings to measure with: folders of chips with random content, and one large scene.

How they are committed is in the modules that measure.
"""

from __future__ import annotations

import io
import os
import time
from pathlib import Path

import numpy as np

from mlops_assets.datasets.sources.folder import CLOCK_SECONDS

CLASSES = 10
# bands, rows, columns of uint16
CHIP_50KB = (4, 80, 80)
CHIP_3KB = (4, 19, 19)


def add_chips(folder: Path, numbers: range, shape: tuple[int, int, int], seed: int = 0) -> None:
    """Write the chips of these numbers, `class_<c>/<number>.npy`, with random content.

    Existing ones are replaced.
    """
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<u2", "fortran_order": False, "shape": shape}
    )
    length = 2 * int(np.prod(shape))
    random = np.random.default_rng([seed, numbers.start, numbers.stop])
    for c in range(CLASSES):
        (folder / f"class_{c}").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = folder / f"class_{number % CLASSES}" / f"{number:07}.npy"
        path.write_bytes(header.getvalue() + random.bytes(length))


def settle() -> None:
    """Write out pending writes, so that no step pays for another's, and let files age a clock tick.

    A file that has just changed is read again by the next commit, as its time would not reveal a
    change right after.
    """
    os.sync()
    time.sleep(CLOCK_SECONDS)


def add_scene(folder: Path, size: int, bands: int, labelled: float) -> None:
    """Write a scene `images/tile.tif` (bands, size, size), uint16 at 10 m, and `labels/tile.tif`.

    One value in 16 is random, the others are alike within a block of the file, so that it is made
    soon. Labels, 1 to 5, are fields of 12 × 12 pixels on a regular grid; this share of the pixels
    is labelled, 0 is unlabelled.
    """
    import rasterio
    from rasterio.transform import from_origin

    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    place = {
        "crs": "EPSG:32632",
        "transform": from_origin(600_000, 5_300_040, 10, 10),
        "width": size,
        "height": size,
    }
    tiles = {
        "driver": "GTiff",
        "tiled": True,
        "blockxsize": 512,
        "blockysize": 512,
        "compress": "zstd",
    }
    image = folder / "images" / "tile.tif"
    label = folder / "labels" / "tile.tif"
    random = np.random.default_rng(0)
    with rasterio.open(
        image, "w", dtype="uint16", count=bands, bigtiff="yes", **place, **tiles
    ) as target:
        for _, window in target.block_windows(1):
            block = np.empty((bands, window.height, window.width), dtype=np.uint16)
            block[:] = random.integers(1, 10_000, (bands, 1, 1))
            block[:, ::4, ::4] = random.integers(1, 10_000, block[:, ::4, ::4].shape)
            target.write(block, window=window)
    field = 12
    spacing = round(field / labelled**0.5)
    labels = np.zeros((size, size), dtype=np.uint8)
    for row in range(0, size - field, spacing):
        for column in range(0, size - field, spacing):
            labels[row : row + field, column : column + field] = 1 + int(random.integers(5))
    with rasterio.open(label, "w", dtype="uint8", count=1, nodata=0, **place, **tiles) as target:
        target.write(labels, 1)
