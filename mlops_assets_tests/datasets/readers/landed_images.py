"""Folders of images for the contract of the layouts: GeoTIFF, PNG, JPEG, NPY, and a mix of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pyproj import Transformer
from rasterio import Affine

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.versions.manifest import item_id
from mlops_assets.testing.readers import ReaderCase, Truth
from mlops_assets_tests.datasets.readers.ground import BOUNDS
from mlops_assets_tests.datasets.readers.landing import write_raster

SIDE = 12
WORLD_FILE = "10\n0\n0\n-10\n{x}\n{y}\n"
PAM = "<PAMDataset><SRS>EPSG:32630</SRS></PAMDataset>\n"
DEGREES = Transformer.from_crs("EPSG:32630", "EPSG:4326", always_xy=True)


def image(number: int, bands: int, dtype: str) -> NDArray[Any]:
    values = np.random.default_rng(number).integers(0, 250, (bands, SIDE, SIDE))
    return values.astype(dtype)


def landing_of(
    suffixes: Sequence[str],
    bands: int,
    dtype: str,
    georeferenced: bool = False,
    dated: bool = False,
    beside: bool = False,
) -> Callable[[Path, int], Truth]:
    """Return what lands four images a unit.

    `land/site0_20200101.tif`, two classes, two sites a unit.

    Half of them have what is known of their place in files beside them, if it is to be `beside`.
    """

    def land(folder: Path, count: int) -> Truth:
        found = Truth()
        for number in range(4 * count):
            label, day = ("water", "land")[number % 2], datetime(2020, 1, 1 + number, tzinfo=UTC)
            path = f"{label}/site{number // 2}_{day:%Y%m%d}{suffixes[number % len(suffixes)]}"
            pixels, profile = image(number, bands, dtype), {}
            if path.endswith(".jpg"):
                # grey, as decoders differ in how they spread colours over pixels
                pixels[:] = pixels[:1]
            facts: dict[str, Any] = {
                "role": "image",
                "height": SIDE,
                "width": SIDE,
                "count": bands,
                "dtype": dtype,
            }
            if georeferenced:
                grid = Affine(10, 0, 500_000 + 1000 * number, 0, -10, 4_700_000)
                profile = {"crs": "EPSG:32630", "transform": grid, "nodata": 250}
                bounds = (grid.c, grid.f - 10 * SIDE, grid.c + 10 * SIDE, grid.f)
                facts |= {
                    "crs": "EPSG:32630",
                    "transform": list(grid)[:6],
                    "nodata": 250.0,
                    "bbox": list(DEGREES.transform_bounds(*bounds)),
                }
            if beside and number % 4 < 2:
                profile = {"nodata": 250}
                name = path.rpartition(".")[0]
                facts["scene"] = item_id(path)
                for own, text in ((f"{name}.tfw", WORLD_FILE), (f"{path}.aux.xml", PAM)):
                    (folder / path).parent.mkdir(parents=True, exist_ok=True)
                    (folder / own).write_text(text.format(x=grid.c + 5, y=grid.f - 5))
                    found.files[own] = {"role": "sidecar", "scene": facts["scene"]}
            write_raster(folder / path, pixels, **profile)
            if georeferenced and not (beside and number % 4 < 2):
                with open_raster(folder / path, "r+") as raster:
                    raster.update_tags(ns="IMAGERY", ACQUISITIONDATETIME=day.isoformat())
            # does not give back what was put in: ask somebody else what it gives
            if path.endswith(".jpg"):
                pixels = np.moveaxis(np.asarray(Image.open(folder / path)), -1, 0)
            found.values[path], found.labels[path] = pixels, label
            found.files[path] = facts | ({"datetime": day} if georeferenced or dated else {})
        return found

    return land


PATTERN = "{label}/{group}_*"
NAMED = {"land": "land", "water": "water"}


def bands(count: int) -> list[str]:
    return [f"B{number:03d}" for number in range(1, count + 1)]


def folder(pattern: str = PATTERN, **options: Any) -> dict[str, Any]:
    return {"layout": "image_folder", "image_folder": {"pattern": pattern, **options}}


IMAGES = [
    ReaderCase(
        "geotiffs",
        folder(),
        landing_of([".tif"], 4, "int16", georeferenced=True),
        "image",
        {"random": {}, "group": {}, "spatial_block": {"block": 1500}},
        bands(4),
        found_classes=NAMED,
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "geotiffs with sidecars",
        folder(date="%Y%m%d"),
        landing_of([".tif"], 2, "uint16", georeferenced=True, beside=True),
        "image",
        {"random": {}, "group": {}, "spatial_block": {"block": 1500}},
        bands(2),
        found_classes=NAMED,
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "pngs",
        folder(),
        landing_of([".png"], 3, "uint8"),
        "image",
        {"random": {}, "group": {}},
        bands(3),
        found_classes=NAMED,
    ),
    ReaderCase(
        "jpegs",
        folder(),
        landing_of([".jpg"], 3, "uint8"),
        "image",
        {"random": {}, "group": {}},
        bands(3),
        classes={10: "land", 20: "water"},
    ),
    ReaderCase(
        "npys",
        folder(date="%Y%m%d"),
        landing_of([".npy"], 5, "float32", dated=True),
        "image",
        {"random": {}, "group": {}},
        bands(5),
        found_classes=NAMED,
        timed=True,
    ),
    ReaderCase(
        "mixed images",
        folder(date="%Y%m%d"),
        landing_of([".tif", ".png", ".npy"], 3, "uint8", dated=True),
        "image",
        {"random": {}, "group": {}},
        bands(3),
        found_classes=NAMED,
        timed=True,
    ),
]
