"""A model version with a network of a few convolutions, without any training."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from rasterio import Affine

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.paths import model_folder
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.files.publication import publication
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.prediction.test_windows import BANDS, CLASSES, SIZE, network
from mlops_assets_tests.registry.rows import model_version, new_run

VERSION = "v1-00000000"
UTM = "EPSG:32632"
PIXEL = 10.0
CORNER = (500_000.0, 5_200_000.0)


def opened(folder: Path) -> Store:
    """The workspace in a folder."""
    return Store(
        Workspace((folder / "workspace").as_uri()),
        Registry(f"sqlite:///{folder / 'registry.db'}").acting(local("tester")),
    )


def with_network(folder: Path) -> Store:
    """A workspace with the model version `crops@v1-00000000`, which takes windows."""
    store = opened(folder)
    model = network(SIZE, SIZE)
    onnx.helper.set_model_props(model, {"mlops.scores": "logits"})
    row = model_version(VERSION, "0")
    row.signature = {
        "view": "window",
        "shape": [BANDS, SIZE, SIZE],
        "features": [f"B{band:03d}" for band in range(1, BANDS + 1)],
        "classes": [{"value": value, "name": f"class {value}"} for value in range(CLASSES)],
        "architecture": "an encoder and a decoder",
    }
    store.registry.start_run(new_run("0"))
    with publication(store.workspace, store.registry) as publishing:
        publishing.put(f"{model_folder('crops', VERSION)}/model.onnx", model.SerializeToString())
        store.registry.publish_model_version(row, publishing.files)
    return store


def row_of(store: Store) -> ModelVersion:
    """The row of the model version."""
    (row,) = store.registry.model_versions("crops")
    return row


def scene(
    path: Path, place: tuple[int, int], shape: tuple[int, int], seed: int = 0, crs: str = UTM
) -> NDArray[np.float32]:
    """Write a scene whose first pixel is that row and column of the grid of all; 0 is nodata."""
    pixels = np.random.default_rng(seed).normal(size=(BANDS, *shape)).astype(np.float32)
    pixels[:, 5:9, 3:11] = 0
    transform = Affine(
        PIXEL, 0, CORNER[0] + PIXEL * place[1], 0, -PIXEL, CORNER[1] - PIXEL * place[0]
    )
    profile = {"height": shape[0], "width": shape[1], "count": BANDS, "dtype": "float32"}
    with open_raster(
        path, "w", driver="GTiff", **profile, crs=crs, transform=transform, nodata=0
    ) as raster:
        raster.write(pixels)
    return pixels
