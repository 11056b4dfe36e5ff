"""Maps that tests publish without running a model."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rasterio import Affine

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.prediction.maps.geotiff import (
    Layer,
    MapClass,
    MapGrid,
    class_layer,
    number_layer,
    open_layer,
    write_cog,
)
from mlops_assets.prediction.maps.made import MadeMap, MappedScene
from mlops_assets.prediction.scenes.found import FoundScene, SourceFile
from mlops_assets.registry import ModelVersion

UTM = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600_000, 0, -10, 5_300_000)}
CLASSES = [MapClass(3, "open water", (10, 20, 200)), MapClass(7, "land", (90, 60, 0))]
SCORES = number_layer(("confidence",), "1")
PLAIN = MappedScene(
    FoundScene("S2_T32", "file:///scenes/S2_T32.tif", datetime(2026, 5, 1, 10, 30, tzinfo=UTC)),
    (
        SourceFile("", "file:///scenes/S2_T32.tif.msk", "9" * 64, 12),
        SourceFile("", "file:///scenes/S2_T32.tif", "a" * 64, 1234),
    ),
)
ITEM = MappedScene(
    FoundScene(
        "S2_T33",
        "https://eo.example/items/S2_T33?token=secret",
        datetime(2026, 5, 1, 10, 32, tzinfo=UTC),
        item={"id": "S2_T33"},
    ),
    tuple(
        SourceFile(name, f"https://eo.example/{name}.tif?sig=secret", digit * 64, 10)
        for name, digit in (("B04", "b"), ("B08", "c"))
    ),
)


def made_map(folder: Path, row: ModelVersion, name: str = "scene", **changes: Any) -> MadeMap:
    """Write a map of 16 × 24 pixels, of classes and their confidence.

    Args:
        folder: receives the files.
        row: the model version.
        name: of the map.
        changes: `value` of all pixels, `grid`, `layers` as end → layer; else of `MadeMap`.
    """
    grid = changes.pop("grid", UTM)
    value = changes.pop("value", 3)
    layers: dict[str, Layer] = changes.pop(
        "layers", {".tif": class_layer(CLASSES), ".scores.tif": SCORES}
    )
    folder.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "height": 16, "width": 24, "count": 1, "dtype": "uint8", **grid}
    with open_raster(folder / "grid.tif", "w", **profile):
        pass
    files = {".png": folder / "picture.png"}
    files[".png"].write_bytes(b"\x89PNG of " + str(value).encode())
    for end, layer in layers.items():
        plain = folder / f"plain{end}"
        with (
            open_raster(folder / "grid.tif") as scene,
            open_layer(plain, MapGrid.of(scene), layer, {}) as raster,
        ):
            pixels = np.full((len(layer.bands), 16, 24), value, dtype=layer.dtype)
            raster.write(pixels)
        for file in write_cog(plain, folder / f"map{end}", layer):
            files[file.name.removeprefix("map")] = file
    fields: dict[str, Any] = {"scenes": (PLAIN,), "settings": {"outputs": ["class"]}}
    return MadeMap(name, files, layers, row=row, **{**fields, **changes})


def area_map(folder: Path, row: ModelVersion, day: int = 1, **changes: Any) -> MadeMap:
    """Write the map of an area on a day of May 2026, of two scenes."""
    moment = date(2026, 5, day)
    fields = {"area": "valley", "day": moment, "scenes": (PLAIN, ITEM), "outside": 0.25}
    return made_map(folder, row, f"valley/{moment}", **{**fields, **changes})
