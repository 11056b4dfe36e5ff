"""Landings to measure with: folders of chips with random content, and one large scene.

How they are frozen is in the modules that measure.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

CLASSES = 10
# uint16, bands × rows × columns
CHIP_50KB = (4, 80, 80)
CHIP_3KB = (4, 19, 19)


def add_chips(folder: Path, numbers: range, shape: tuple[int, int, int], seed: int = 0) -> None:
    """Write the chips of these numbers as `class_<c>/<number>.npy`, uint16 of random content; existing ones are replaced."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<u2", "fortran_order": False, "shape": shape})
    length = 2 * int(np.prod(shape))
    random = np.random.default_rng([seed, numbers.start, numbers.stop])
    for c in range(CLASSES):
        (folder / f"class_{c}").mkdir(parents=True, exist_ok=True)
    for number in numbers:
        path = folder / f"class_{number % CLASSES}" / f"{number:07}.npy"
        path.write_bytes(header.getvalue() + random.bytes(length))


def add_scene(folder: Path, size: int, bands: int, labelled: float) -> None:
    """Write a scene `images/tile.tif` (bands, size, size), uint16 at 10 m, and `labels/tile.tif`.

    Values are the same within a block of the file but for a few, as what is in them plays no part. Labels, 1 to 5, are
    fields of 12 × 12 pixels, on a regular grid; so many of the pixels are labelled, 0 is unlabelled.
    """
    import rasterio
    from rasterio.transform import from_origin

    (folder / "images").mkdir(parents=True)
    (folder / "labels").mkdir()
    place = {"crs": "EPSG:32632", "transform": from_origin(600_000, 5_300_040, 10, 10), "width": size, "height": size}
    tiles = {"driver": "GTiff", "tiled": True, "blockxsize": 512, "blockysize": 512, "compress": "zstd", "zstd_level": 1}
    random = np.random.default_rng(0)
    with rasterio.open(folder / "images" / "tile.tif", "w", dtype="uint16", count=bands, bigtiff="yes", **place, **tiles) as target:
        for _, window in target.block_windows(1):
            block = np.empty((bands, window.height, window.width), dtype=np.uint16)
            block[:] = random.integers(1, 10_000, (bands, 1, 1))
            block[:, ::16, ::16] += 1
            target.write(block, window=window)
    field = 12
    spacing = round(field / labelled**0.5)
    labels = np.zeros((size, size), dtype=np.uint8)
    for row in range(0, size - field, spacing):
        for column in range(0, size - field, spacing):
            labels[row : row + field, column : column + field] = 1 + int(random.integers(5))
    with rasterio.open(folder / "labels" / "tile.tif", "w", dtype="uint8", count=1, nodata=0, **place, **tiles) as target:
        target.write(labels, 1)
