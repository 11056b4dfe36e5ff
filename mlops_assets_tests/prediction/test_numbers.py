"""Maps of numbers, by models of every framework that estimates them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import BaseModel

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.readers.scenes.read_samples import read_patches
from mlops_assets.models.frameworks import framework_named
from mlops_assets.store import Store
from mlops_assets.training.run import TrainingRun
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.models.frameworks.models import from_models, marks_of
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

BANDS, SIDE = 6, 24
MODELS = {
    "pytorch": "regression",
    "scikit-learn": "ridge",
    "xgboost": "regression",
    "lightgbm": "regression",
    "keras": "regression",
    "flax": "regression",
}
# of the last training
trained: list[Any] = []


class Builder(BaseModel):
    """A framework and a function of its file of models."""

    framework: str
    builder: str


def train_builder(data: TrainingData, params: Builder, run: TrainingRun) -> Any:
    X, y = data.arrays("train")
    X = X.reshape(len(X), -1)
    trained[:] = [from_models(params.framework, params.builder)(X, y)]
    return trained[0]


def land(store: Store, size: int) -> None:
    """Land a scene whose labels are heights, with a hole, read as patches of a size."""
    folder = store.workspace.root / "landing/heights"
    write_scene(folder, size=48, bands=BANDS)
    with open_raster(folder / "images/a.tif") as raster:
        pixels = raster.read().astype(np.float32)
    profile = {"driver": "GTiff", "height": 48, "width": 48, "count": 1, "dtype": "float32"}
    with open_raster(folder / "labels/a.tif", "w", **profile, nodata=-1) as raster:
        raster.write((pixels[0] + 2 * pixels[5]) / 100, 1)
    scenes = {"size": size, "label_is": "number"}
    source = {"url": "landing/heights", "layout": "scenes", "scenes": scenes}
    specification = scenes_specification(
        "heights", classes=None, source=source, units={"label": "m"}
    )
    commit(store.workspace, store.registry, specification)


def write_raster(path: Path) -> NDArray[np.float32]:
    """A scene in which a part of the first band has no data; return the pixels."""
    pixels = np.random.default_rng(2).integers(0, 300, (BANDS, SIDE, SIDE)).astype(np.float32)
    pixels[0, 3:9, 5:] = -9999
    profile = {"height": SIDE, "width": SIDE, "count": BANDS, "dtype": "float32"}
    with open_raster(path, "w", driver="GTiff", **profile, nodata=-9999) as raster:
        raster.write(pixels)
    return pixels


@pytest.mark.parametrize(
    ("framework", "size"),
    [
        *(pytest.param(name, 1, marks=marks_of(name), id=f"{name}-pixel") for name in MODELS),
        pytest.param("scikit-learn", 3, id="scikit-learn-patch"),
    ],
)
def test_a_map_has_the_number_of_each_pixel(
    framework: str, size: int, store: Store, tmp_path: Path
) -> None:
    land(store, size)
    specification = model_specification(
        "height",
        dataset="heights",
        task="regression",
        trainer=f"{__name__}:train_builder",
        inputs="pixel" if size == 1 else "patch",
    )
    row = lifecycle(store, specification, framework=framework, builder=MODELS[framework])
    pixels = write_raster(tmp_path / "scene.tif")
    found = map_scene(store, row, tmp_path / "scene.tif", "heights")
    places = np.indices((SIDE, SIDE)).reshape(2, -1).T
    X = read_patches(tmp_path / "scene.tif", places, size).astype(np.float32)
    values = framework_named(framework).predict(trained[0], X.reshape(len(X), -1), "regression")
    expected = values["value"].reshape(SIDE, SIDE)
    with open_raster(store.workspace.local_path(found.raster.path)) as raster:
        numbers = raster.read(1)
        assert (raster.descriptions, raster.units) == (("label",), ("m",))
        assert np.isnan(raster.nodata or 0) and raster.dtypes == ("float32",)
    gone = pixels[0] == -9999
    assert np.isnan(numbers[gone]).all()
    np.testing.assert_allclose(numbers[~gone], expected[~gone], rtol=1e-4, atol=1e-4)
