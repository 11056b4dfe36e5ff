"""Synthetic scenes: files and the STAC Items that describe them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio import Affine

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.prediction.scenes.bands import Band, Wanted

ORIGIN = (500_000, 4_700_000)
GEOTIFF = "image/tiff; application=geotiff; profile=cloud-optimized"


def write_raster(
    path: Path,
    values: NDArray[Any],
    size: float,
    names: tuple[str, ...] = (),
    **profile: Any,
) -> Path:
    """Write (bands, height, width) values in UTM 32N, with pixels of `size` metres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    place = Affine(size, 0, ORIGIN[0], 0, -size, ORIGIN[1])
    options = {"driver": "GTiff", "crs": "EPSG:32632", "transform": place} | profile
    count, height, width = values.shape
    with open_raster(
        path, "w", count=count, height=height, width=width, dtype=values.dtype.name, **options
    ) as raster:
        raster.write(values)
        for number, name in enumerate(names, start=1):
            raster.set_band_description(number, name)
    return path


def write_item(folder: Path, assets: dict[str, dict[str, Any]], **changes: Any) -> Path:
    """Write an Item; of an asset `href` is its key with .tif if it is not given."""
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.0.0",
        "id": "S2A_T32TNN",
        "geometry": None,
        "bbox": [9.0, 42.0, 9.1, 42.5],
        "properties": {"datetime": "2024-06-01T10:20:30Z"},
        "links": [],
        "assets": {
            key: {"href": f"{key}.tif", "type": GEOTIFF} | fields for key, fields in assets.items()
        },
    } | changes
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "item.json"
    path.write_text(json.dumps(document))
    return path


def wanted(*features: str, described: tuple[Band, ...] = ()) -> Wanted:
    """Return the bands that a model takes."""
    bands = described or tuple(Band(name) for name in features)
    return Wanted("crops@v1-12345678", features, features, lambda: bands)


def noise(height: int, width: int, bands: int = 1, dtype: str = "uint16") -> NDArray[Any]:
    """Return values above 0."""
    return np.random.default_rng(7).integers(1, 4000, (bands, height, width)).astype(dtype)
