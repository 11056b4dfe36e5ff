"""Bands and scaling from declaration to map.

Trained on scaled samples, served on raw ones, with one set of figures.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from pydantic import BaseModel
from torch import nn

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import ParityError, SpecificationError
from mlops_assets.models.export import export as stages
from mlops_assets.models.export.export import export
from mlops_assets.models.frameworks import framework_named
from mlops_assets.models.native import load_native
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.models.signature import raw_data, scaling_of
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import Owner, model_folder, model_item_key
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.stac.mlm.version import DEFAULT
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.training.run import TrainingRun
from mlops_assets.training.train import train
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.datasets.views import images, land, windows, write_images, write_two_scenes
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.stac.extension_schemas import validator
from mlops_assets_tests.training.example_trainers import (
    lifecycle,
    model_specification,
    training_request,
)

SKLEARN: dict[str, Any] = {
    "trainer": "mlops_assets.training.trainers.sklearn:train",
    "params": {"estimator": "sklearn.linear_model.LogisticRegression", "C": 0.1},
}
NAMES = {
    "bands": {
        "names": ["blue", "green", "red", "nir"],
        "center_wavelengths": [0.49, 0.56, 0.66, 0.84],
    }
}
MODELS: dict[str, dict[str, Any]] = {
    "pixel": {
        "dataset": "scenes",
        "inputs": "pixel",
        **SKLEARN,
        "bands": ["nir", "green"],
        "scaling": "standardize",
    },
    "patch": {
        "dataset": "scenes",
        "trainer": f"{__name__}:network",
        "bands": ["nir", "blue"],
        "scaling": "minmax",
    },
    "forest": {
        "dataset": "scenes",
        "scaling": {"*": "standardize", "red": "none"},
        "trainer": SKLEARN["trainer"],
        "params": {
            "estimator": "sklearn.ensemble.RandomForestClassifier",
            "n_estimators": 5,
            "max_depth": 4,
        },
    },
    "window": {
        "dataset": "windows",
        "task": "semantic-segmentation",
        "trainer": f"{__name__}:network",
        "bands": ["nir", "red", "blue"],
        "scaling": {"*": {"minimum": 0, "maximum": 300}},
    },
    "row": {"bands": ["ndvi_06", "ndvi_02"], "scaling": "standardize", **SKLEARN},
}


class Epochs(BaseModel):
    """Parameters of `network`."""

    epochs: int = 3


def network(data: TrainingData, params: Epochs, run: TrainingRun) -> nn.Module:
    """A convolutional net that scales nothing itself, fed by a loader."""
    bands, classes = data.sample_shape[0], len(data.class_names)
    head = (
        [nn.Flatten(), nn.Linear(16, classes)]
        if data.view == "patch"
        else [nn.Conv2d(16, classes, 1)]
    )
    net = nn.Sequential(
        nn.Conv2d(bands, 16, 3, padding=0 if data.view == "patch" else 1), nn.ReLU(), *head
    )
    optimizer = torch.optim.Adam(net.parameters(), 0.02)
    loader = data.loader("train", 16, run.seed)
    for _ in range(params.epochs):
        for X, y in loader:
            loss = nn.functional.cross_entropy(net(X), y, ignore_index=-1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return net


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A workspace with a scaled model of each kind, trained, exported, evaluated and recorded."""
    root = tmp_path_factory.mktemp("scaled") / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    land(
        store,
        table_specification(),
        lambda folder: crops_table().to_csv(folder / "a.csv", index=False),
    )
    land(store, scenes_specification(**NAMES), write_two_scenes)
    land(
        store,
        windows("windows").model_copy(update={"bands": scenes_specification(**NAMES).bands}),
        write_two_scenes,
    )
    for name, changes in MODELS.items():
        lifecycle(
            store, model_specification(name, **changes), recorded=True, **changes.get("params", {})
        )
    return store


def row_of(store: Store, model: str) -> ModelVersion:
    return store.registry.model_version(Reference(model))


def onnx_of(store: Store, row: ModelVersion) -> OnnxModel:
    return OnnxModel(
        published_path(
            store.workspace, store.registry, f"{model_folder(row.model, row.version)}/model.onnx"
        )
    )


def opened(store: Store, model: str) -> TrainingData:
    """The data as its trainer saw it."""
    row, changes = row_of(store, model), MODELS[model]
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference(row.dataset, row.data_version)
    )
    specification = model_specification(model, **changes)
    return TrainingData(
        committed, row.task, row.signature["view"], specification.bands, specification.scaling
    )


@pytest.mark.parametrize("model", MODELS)
def test_the_signature_has_the_inputs_and_their_scaling(models: Store, model: str) -> None:
    row, data = row_of(models, model), opened(models, model)
    assert row.signature["features"] == MODELS[model].get("bands", data.source_features)
    assert row.signature["source_features"] == data.source_features
    assert row.signature["shape"] == [len(row.signature["features"]), *data.sample_shape[1:]]
    assert scaling_of(row) == data.scaling is not None


@pytest.mark.parametrize("model", MODELS)
def test_the_onnx_model_gives_on_raw_samples_what_the_trained_one_gives_on_scaled(
    models: Store, model: str
) -> None:
    row = row_of(models, model)
    prefix = f"{model_folder(row.model, row.version)}/native/"
    keys = [
        f.path
        for f in models.registry.files(Owner(f"model:{model}@{row.version}"))
        if f.path.startswith(prefix)
    ]
    framework = framework_named(row.framework)
    native = load_native(
        {
            PurePosixPath(key).name: published_path(models.workspace, models.registry, key)
            for key in keys
        },
        framework,
    )
    raw, _ = raw_data(models.workspace, models.registry, row).arrays("test")
    scaled, y = opened(models, model).arrays("test")
    assert raw.shape == scaled.shape and not np.allclose(raw, scaled)
    expected = framework.predict(native, scaled, row.task)
    found = onnx_of(models, row).predict(raw)
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-3, atol=1e-4)
    assert np.mean(decide(found)[y >= 0] == y[y >= 0]) == row.metrics["accuracy"] > 0.6


@pytest.mark.parametrize("model", MODELS)
def test_the_graph_takes_the_bands_and_scales_them_first(models: Store, model: str) -> None:
    row = row_of(models, model)
    graph = onnx.load(
        published_path(
            models.workspace, models.registry, f"{model_folder(row.model, row.version)}/model.onnx"
        )
    ).graph
    (taken,) = graph.input
    assert taken.name == "input"
    assert [d.dim_value for d in taken.type.tensor_type.shape.dim][1:] == row.signature["shape"]
    assert [node.op_type for node in graph.node if "input" in node.input] == ["Sub"]
    assert verify_model(models, row).passed


def test_a_scaling_that_is_left_out_of_the_graph_is_caught(
    store: Store, land_scenes: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_scenes()
    specification = model_specification(dataset="scenes", scaling="standardize", **SKLEARN)
    row = train(store, training_request(specification, "v1", SKLEARN["params"]))
    monkeypatch.setattr(stages, "with_scaling", lambda proto, *rest: proto)
    with pytest.raises(ParityError, match="differs from the trained model"):
        export(store, specification, row)


def test_each_model_version_keeps_the_figures_of_its_data_version(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    specification = model_specification(scaling="standardize", **SKLEARN)
    land_table()
    old = lifecycle(store, specification, "v1", **SKLEARN["params"])
    X = crops_table()[old.signature["features"]].to_numpy(np.float32)
    before = onnx_of(store, old).predict(X)["scores"]
    shifted = crops_table(310)
    land_table(shifted.assign(ndvi_01=shifted["ndvi_01"] * 7 + 100))
    new = lifecycle(store, specification, "v2", **SKLEARN["params"])
    index = old.signature["features"].index("ndvi_01")
    means = [row.signature["scaling"][index]["mean"] for row in (old, new)]
    assert means[0] < 1 and means[1] > 100
    again = store.registry.model_version(Reference(old.model, old.version))
    assert again.signature == old.signature
    np.testing.assert_array_equal(onnx_of(store, again).predict(X)["scores"], before)


def test_a_model_of_whole_images_is_scaled_too(store: Store) -> None:
    land(store, images(), write_images)
    changes: dict[str, Any] = {
        "dataset": "photos",
        "bands": ["B003", "B001"],
        "scaling": "standardize",
        **SKLEARN,
    }
    row = lifecycle(
        store,
        model_specification(**changes),
        **SKLEARN["params"],
    )
    assert (row.signature["view"], row.signature["shape"], row.metrics["accuracy"]) == (
        "image",
        [2, 6, 6],
        1.0,
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"bands": ["ndvi_01", "B08"]},
            "bands: fields@v1 has no B08; it has farm, ndvi_01, ndvi_02",
        ),
        ({"scaling": {"B08": "minmax"}}, "scaling: no B08; there is farm, ndvi_01"),
    ],
    ids=["bands", "scaling"],
)
def test_names_that_the_data_lacks_are_refused_before_a_run_starts(
    store: Store, land_table: Callable[..., Commit], changes: dict[str, Any], message: str
) -> None:
    land_table()
    with pytest.raises(SpecificationError, match=message):
        train(store, training_request(model_specification(**changes)))
    assert store.registry.runs() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bands": ["a", "a"]}, "a name occurs twice"),
        ({"bands": []}, "bands"),
        ({"bands": ["a"], "scaling": {"b": "minmax"}}, "scaling: no b; there is a"),
        ({"scaling": "normalise"}, "scaling"),
    ],
    ids=str,
)
def test_a_declaration_that_contradicts_itself_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        model_specification(**changes)


# scenes


def scene(path: Path, image: NDArray[np.uint16], names: tuple[str, ...] = ()) -> Path:
    profile = {
        "driver": "GTiff",
        "height": image.shape[1],
        "width": image.shape[2],
        "count": len(image),
    }
    with open_raster(path, "w", **profile, dtype="uint16") as raster:
        raster.write(image)
        raster.descriptions = names or (None,) * len(image)
    return path


@pytest.mark.parametrize("model", ["pixel", "patch", "window"])
def test_a_scene_is_read_by_the_names_or_places_of_its_bands(
    models: Store, model: str, tmp_path: Path
) -> None:
    row, source = row_of(models, model), ["blue", "green", "red", "nir"]
    image = np.random.default_rng(1).integers(0, 300, (4, 16, 24)).astype(np.uint16)
    own = [source.index(name) for name in row.signature["features"]]
    scenes = {
        "all": scene(tmp_path / "all.tif", image),
        "named": scene(
            tmp_path / "named.tif", image[[2, 0, 3, 1]], ("red", "blue", "nir", "green")
        ),
        "more": scene(tmp_path / "more.tif", image[[0, 0, 1, 2, 3]], ("aerosol", *source)),
        "own": scene(tmp_path / "own.tif", image[own]),
    }
    maps = {name: map_scene(models, row, path, name).classes for name, path in scenes.items()}
    for found in maps.values():
        np.testing.assert_array_equal(found, maps["all"])
    if model != "window":
        size = 1 if model == "pixel" else 3
        padded = np.pad(
            image[own].astype(np.float32),
            ((0, 0), (size // 2,) * 2, (size // 2,) * 2),
            mode="symmetric",
        )
        patches = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
        X = patches.transpose(1, 2, 0, 3, 4).reshape(-1, len(own), size, size)
        X = X if model == "patch" else X[:, :, 0, 0]
        expected = decide(onnx_of(models, row).predict(np.ascontiguousarray(X)))
        np.testing.assert_array_equal(maps["all"], expected.reshape(16, 24) + 1)
    assert len(np.unique(maps["all"])) == 2


def test_a_scene_without_the_bands_is_refused_with_those_that_are_needed(
    models: Store, tmp_path: Path
) -> None:
    row = row_of(models, "pixel")
    with pytest.raises(
        SpecificationError, match=r"has 3 bands, pixel@v1-.{8} takes 2 of 4: nir, green"
    ):
        map_scene(
            models, row, scene(tmp_path / "scene.tif", np.zeros((3, 8, 8), np.uint16)), "refused"
        )


# records


def recorded(store: Store, row: ModelVersion) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.workspace.get(model_item_key(row.model, row.version)))
    return found


@pytest.mark.parametrize("model", MODELS)
def test_the_record_has_the_bands_and_the_scaling_where_they_are_true(
    models: Store, model: str
) -> None:
    row = row_of(models, model)
    item = recorded(models, row)
    assert [error.message for error in validator(DEFAULT).iter_errors(item)] == []
    properties = item["properties"]
    (onnx_input,), (native,) = properties["mlm:input"], properties["mlops:native_input"]
    bands = [] if model == "row" else row.signature["features"]
    assert onnx_input["bands"] == native["bands"] == bands
    assert onnx_input["input"]["shape"] == native["input"]["shape"] == [-1, *row.signature["shape"]]
    assert native["value_scaling"] == row.signature["scaling"]
    assert onnx_input.get("value_scaling") is None and "Raw values" in onnx_input["description"]
    assert validator(DEFAULT, "ModelInput").is_valid(native)
    assert not validator(DEFAULT, "ModelInput").is_valid(
        {**native, "value_scaling": [{"type": "z-score", "mean": 0}]}
    )
    if model != "row":
        waves = dict(zip(*NAMES["bands"].values(), strict=True))
        described = [(band["name"], band["eo:center_wavelength"]) for band in properties["bands"]]
        assert described == [(name, waves[name]) for name in bands]


def test_a_model_that_is_not_scaled_has_no_scaling_in_its_record(store: Store) -> None:
    land(store, scenes_specification(), write_two_scenes)
    row = lifecycle(store, model_specification(dataset="scenes"), recorded=True)
    properties = recorded(store, row)["properties"]
    assert "mlops:native_input" not in properties
    assert "Raw values, not scaled." in properties["mlm:input"][0]["description"]
    assert row.signature["scaling"] is None


# scale and offset of the scenes themselves


def write_scaled_scenes(folder: Path) -> None:
    """Write two scenes of the same reflectances, one of them with an offset.

    The offset is that of Sentinel-2 since 04.00.
    """
    for name, offset in (("a", 0.0), ("b", -0.1)):
        write_scene(folder, name, seed=0)
        with open_raster(folder / f"images/{name}.tif", "r+") as raster:
            raster.write((raster.read() + round(-offset / 1e-4)).astype(np.uint16))
            raster.scales, raster.offsets = (1e-4,) * raster.count, (offset,) * raster.count


@pytest.mark.parametrize("read", ["patches", "windows"])
def test_scale_and_offset_of_each_scene_are_applied_in_data_and_in_maps(
    store: Store, read: str
) -> None:
    options = {"read": read, "size": 8 if read == "windows" else 3, "apply_scale": True}
    source = {"url": "landing/scenes", "layout": "scenes", "scenes": options}
    folder = store.workspace.root / "landing/scenes/images"
    committed = land(
        store, scenes_specification(source=source, split={"method": "random"}), write_scaled_scenes
    )
    assert not committed.document.notes
    task = "semantic-segmentation" if read == "windows" else "classification"
    X, _ = TrainingData(committed, task).arrays("train")
    with open_raster(folder / "a.tif") as raster:
        assert X.max() <= raster.read().max() * 1e-4 + 1e-6
    row = lifecycle(
        store,
        model_specification(
            "scaled",
            dataset="scenes",
            task=task,
            trainer=f"{__name__}:network",
            scaling="standardize",
        ),
        recorded=True,
    )
    assert row.signature["apply_scale"]
    item = recorded(store, row)
    assert [error.message for error in validator(DEFAULT).iter_errors(item)] == []
    assert item["properties"]["mlops:apply_scale"]
    first, second = (map_scene(store, row, folder / f"{name}.tif", name).classes for name in "ab")
    np.testing.assert_array_equal(first, second)
    assert len(np.unique(first)) == 2
