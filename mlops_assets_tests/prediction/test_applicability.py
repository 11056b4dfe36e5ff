"""Where a map may be believed: the bands `di` and `aoa`, the share outside, and the picture."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from numpy.typing import NDArray

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.models.applicability.document import read_applicability
from mlops_assets.models.applicability.measure import publish_applicability
from mlops_assets.models.onnx import features
from mlops_assets.models.onnx.features import as_samples
from mlops_assets.models.onnx.session import OnnxModel
from mlops_assets.paths import model_folder
from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.predict import Prediction, make_map
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    windows_source,
)

Land = Callable[..., Commit]
SIDE = 48


def scene_of(folder: Path) -> Path:
    """A scene like the training data, whose right third is like nothing, without some pixels."""
    write_scene(folder, size=SIDE, seed=7)
    path = folder / "images/a.tif"
    with open_raster(path, "r+") as raster:
        raster.nodata = 0
        values = raster.read()
        values[:, :, 32:] = 20_000
        values[:, 10:20, :20] = 0
        raster.write(values)
    return path


def mapped(store: Store, row: ModelVersion, scene: Path) -> Prediction:
    found = FoundScene(scene.stem, scene.as_uri(), None, None, None, None)
    return make_map(store, MapJob("map", row.model, row.version, (found,)))


def picture(found: Prediction) -> NDArray[np.float32]:
    return np.asarray(imread(io.BytesIO(found.workspace.get(found.picture.path)))[:, :, :3])


def layer(
    found: Prediction,
) -> tuple[NDArray[np.number], dict[str, str], tuple[str | None, ...]]:
    (file,) = [own for own in found.others if own.path.endswith(".applicability.tif")]
    with open_raster(found.workspace.local_path(file.path)) as raster:
        return raster.read(), dict(raster.tags()), raster.descriptions


def test_a_map_of_pixels_has_the_index_of_each(
    store: Store, land_scenes: Land, tmp_path: Path, drawn: None
) -> None:
    land_scenes(scenes_specification(), size=96)
    row = lifecycle(store, model_specification(dataset="scenes", inputs="pixel"))
    scene = scene_of(tmp_path / "new")
    before = mapped(store, row, scene)
    assert before.map.outside is None
    assert not any("applicability" in file.path for file in before.files)
    plain = picture(before)
    publish_applicability(store, row)
    found = mapped(store, row, scene)
    values, tags, names = layer(found)
    index = read_applicability(store, row)
    assert index is not None and names == ("di", "aoa")
    with open_raster(scene) as raster:
        pixels = raster.read().astype(np.float32)
    known = (pixels != 0).all(axis=0)
    assert np.isnan(values[:, ~known]).all()
    assert values[0, known] == pytest.approx(index.di(pixels[:, known].T), abs=1e-5)
    np.testing.assert_array_equal(values[1, known], values[0, known] <= index.threshold)
    outside = 1 - values[1, known].mean()
    assert found.map.outside == pytest.approx(outside) and outside > 0.3
    assert f"{outside:.1%} of the pixels are outside the area of applicability" in found.notes
    assert tags["MLOPS_APPLICABILITY_SPACE"] == "predictors"
    assert float(tags["MLOPS_APPLICABILITY_THRESHOLD"]) == pytest.approx(index.threshold, rel=1e-5)
    # what is outside is grey in the picture
    changed = (picture(found) != plain).any(axis=2)
    assert changed.mean() > 0.1


def test_a_map_of_windows_has_the_index_of_cells_of_features(
    store: Store, land_scenes: Land, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # cells of 4 x 4 pixels
    monkeypatch.setattr(features, "_cell", lambda *_: (4, 4))
    land_scenes(scenes_specification(**windows_source()), size=96)
    specification = model_specification(
        dataset="scenes", task="semantic-segmentation", trainer=f"{HERE}:network"
    )
    row = lifecycle(store, specification)
    publish_applicability(store, row)
    scene = scene_of(tmp_path / "new")
    found = mapped(store, row, scene)
    values, tags, _ = layer(found)
    assert tags["MLOPS_APPLICABILITY_SPACE"] == "features"
    assert tags["MLOPS_APPLICABILITY_CELL"] == "4 px"
    index = read_applicability(store, row)
    path = store.workspace.local_path(f"{model_folder(row.model, row.version)}/features.onnx")
    with open_raster(scene) as raster:
        corner = raster.read()[None, :, :8, :8].astype(np.float32)
    assert index is not None
    (di, *_) = index.di(as_samples(OnnxModel(path).predict(corner)["features"]))
    assert values[0, :4, :4] == pytest.approx(np.full((4, 4), di), abs=1e-5)
    assert (values[1, :, 36:] == 0).all() and np.isnan(values[0, 10:20, :20]).all()
    assert found.map.outside is not None and 0.2 < found.map.outside < 1
