"""Models run from their Items alone, by docs/run_from_record.py, after the catalogue has moved.

That script knows MLM, onnxruntime and rasterio only; its results are compared with the platform's.
"""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
import rasterio
from numpy.typing import NDArray
from pystac.validation import validate_dict
from rasterio import Affine

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.models.record import tag_data_version
from mlops_assets.models.signature import raw_data
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import (
    CATALOG,
    DATASETS,
    MODELS,
    RUNS,
    dataset_collection_key,
    model_folder,
    model_item_key,
)
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.stac.migration.migrate import migrate_records
from mlops_assets.stac.mlm.version import DEFAULT
from mlops_assets.stac.training_dml import TRAINING_DML
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.training.trainers import sklearn as sklearn_trainer
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.stac.extension_schemas import validator
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    windows_source,
)

SCRIPT = Path(__file__).parents[2] / "docs/run_from_record.py"
CLASSES = {3: "water", 200: "land"}  # values are no indices
FOREST: dict[str, Any] = {
    "trainer": "mlops_assets.training.trainers.sklearn:train",
    "params": {"estimator": "sklearn.ensemble.RandomForestRegressor", "n_estimators": 5},
}
MODELS_OF_SCENES: dict[str, dict[str, Any]] = {
    "pixel": {"dataset": "patches", "inputs": "pixel", "bands": ["nir", "red"]},
    "patch": {"dataset": "patches", "scaling": "standardize"},
    "window": {
        "dataset": "windows",
        "task": "semantic-segmentation",
        "trainer": f"{HERE}:network",
        "scaling": "minmax",
        "params": {"steps": 60},
    },
    "physical": {"dataset": "scaled"},
}
DECLARED = {
    "title": "Yields",
    "license": "MIT",
    "providers": [{"name": "Somebody", "roles": ["producer"], "url": "https://example.org"}],
    "doi": "10.1234/yields",
    "citation": "Somebody (2026).",
    "keywords": ["yield"],
    "pretrained": "https://example.org/weights",
}
BANDS = ["blue", "green", "red", "nir"]
GRID = {"crs": "EPSG:32630", "transform": Affine(10, 0, 500_000, 0, -10, 4_700_000)}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A workspace with a recorded model of each kind."""
    root = tmp_path_factory.mktemp("original") / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    _land_scenes(root / "landing")
    _land_images(root / "landing/photos")
    table = crops_table()
    table.insert(0, "yield", (10 * table["ndvi_03"] + 1).round(3))
    for name, columns in (("fields", ["crop"]), ("yields", ["yield"])):
        (root / "landing" / name).mkdir()
        kept = table.drop(columns=list({"crop", "yield"} - set(columns)))
        kept.to_csv(root / "landing" / name / "samples.csv", index=False)
    scenes = {"layout": "scenes", "scenes": {"size": 5}}
    physical = {"layout": "scenes", "scenes": {"size": 3, "apply_scale": True}}
    for specification in (
        table_specification(),
        table_specification(
            "yields",
            source={"url": "landing/yields", "layout": "table", "table": {"label": "yield"}},
            units={"yield": "t/ha"},
            license="CC-BY-4.0",
            doi="10.1234/data",
            keywords=["agriculture"],
        ),
        scenes_specification(
            "patches", classes=CLASSES, source={"url": "landing/patches", **scenes}
        ),
        scenes_specification("windows", classes=CLASSES, **windows_source("windows")),
        scenes_specification(
            "scaled", classes=CLASSES, source={"url": "landing/scaled", **physical}
        ),
        DatasetSpecification.model_validate(
            {
                "name": "photos",
                "source": {
                    "url": "landing/photos",
                    "layout": "image_folder",
                    "image_folder": {"size": 8},
                },
                "split": {"fractions": {"train": 0.5, "test": 0.5}},
            }
        ),
    ):
        commit(store.workspace, store.registry, specification)
    for name, changes in MODELS_OF_SCENES.items():
        params: dict[str, Any] = changes.get("params", {})
        lifecycle(store, model_specification(name, **changes), recorded=True, **params)
    lifecycle(store, model_specification("row"), recorded=True)
    lifecycle(store, model_specification("image", dataset="photos"), recorded=True)
    number = model_specification(
        "number", dataset="yields", task="regression", **DECLARED, **FOREST
    )
    lifecycle(store, number, recorded=True, **FOREST["params"])
    return store


def _land_scenes(landing: Path) -> None:
    for name in ("patches", "windows", "scaled"):
        folder = landing / name
        labels = write_scene(folder, crs="EPSG:32630")
        with open_raster(folder / "labels/a.tif", "r+") as raster:
            raster.write(np.choose(labels, [0, 3, 200]).astype(np.uint8), 1)
        with rasterio.open(folder / "images/a.tif", "r+") as raster:
            raster.descriptions = BANDS
            raster.nodata = 65535
            if name == "scaled":
                raster.scales, raster.offsets = [0.5] * 4, [-7.0] * 4


def _land_images(folder: Path) -> None:
    rng = np.random.default_rng(0)
    for value, label in ((40, "forest"), (120, "lake")):
        for number in range(8):
            side = 8 if number else 11  # one is cut, one is filled up
            side = 5 if number == 1 else side
            pixels = rng.integers(value, value + 90, (3, side, side), dtype=np.uint8)
            path = folder / label / f"{number}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            profile = {"driver": "GTiff", "height": side, "width": side, "count": 3}
            with open_raster(path, "w", **profile, **GRID, dtype="uint8") as raster:
                raster.write(pixels)


@pytest.fixture(scope="module")
def moved(original: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published files of the workspace in another folder."""
    folder = tmp_path_factory.mktemp("elsewhere") / "published here"
    for name in (CATALOG, MODELS, DATASETS, RUNS, "objects"):
        shutil.copytree(original.workspace.root / name, folder / name)
    return folder


@pytest.fixture(scope="module")
def script() -> ModuleType:
    """The script of the docs."""
    spec = importlib.util.spec_from_file_location("run_from_record", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def row_of(store: Store, model: str) -> ModelVersion:
    return store.registry.model_version(Reference(model))


def item_of(store: Store, model: str) -> str:
    row = row_of(store, model)
    return model_item_key(row.model, row.version)


def properties_of(store: Store, model: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(store.workspace.get(item_of(store, model)))["properties"]
    return found


def write(path: Path) -> Path:
    """A scene of 21 x 13 pixels, some without data."""
    pixels = np.random.default_rng(1).integers(0, 300, (4, 21, 13)).astype(np.uint16)
    pixels[:, 3:5, 2] = 65535
    pixels[1, 9, 9] = 65535
    profile = {"driver": "GTiff", "height": 21, "width": 13, "count": 4, "nodata": 65535}
    with rasterio.open(path, "w", **profile, **GRID, dtype="uint16") as raster:
        raster.write(pixels)
        raster.descriptions = BANDS
        raster.scales, raster.offsets = [0.5] * 4, [-7.0] * 4
    return path


def onnx_of(store: Store, model: str) -> OnnxModel:
    folder = model_folder(model, row_of(store, model).version)
    return OnnxModel(store.workspace.root / folder / "model.onnx")


def test_the_script_knows_nothing_of_the_platform() -> None:
    tree = ast.parse(SCRIPT.read_text())
    imported = {
        name.name.partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    } | {
        str(node.module).partition(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported - sys.stdlib_module_names == {"numpy", "onnxruntime", "rasterio"}
    # for which no extension has a property
    assert set(re.findall(r"mlops:\w+", SCRIPT.read_text())) == {"mlops:receptive_field"}


def test_every_document_of_the_moved_catalogue_is_valid(moved: Path) -> None:
    documents = [path for path in moved.glob("catalog/**/*.json") if path.name != TRAINING_DML]
    assert len(documents) > 20
    for path in documents:
        document = json.loads(path.read_text())
        assert len(validate_dict(document, extensions=[])) == 1
        for own in (*document["links"], *document.get("assets", {}).values()):
            assert own["rel" if "rel" in own else "href"]
            if not own["href"].startswith("https://"):
                assert (path.parent / own["href"]).resolve().is_file(), (path, own)


def test_stac_check_finds_nothing_in_the_records_of_located_data(
    moved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lint = pytest.importorskip("stac_check.lint", reason="needs stac-check")
    # its validation fetches schemas from the network; see the tests above for it
    monkeypatch.setattr(lint.Linter, "validate_file", lambda own, file: {"valid_stac": True})
    located = {"models/window", "models/pixel", "datasets/windows", "datasets/patches"}
    found = {}
    for path in sorted(moved.glob("catalog/**/*.json")):
        folders = "/".join(path.relative_to(moved / "catalog").parts[:2])
        if folders in {"catalog.json", *located} and path.name != TRAINING_DML:
            practices = lint.Linter(json.loads(path.read_text())).create_best_practices_dict()
            practices.pop("bloated_metadata", None)
            found[path] = practices
    assert len(found) == 1 + 2 * 2 + 2 * 3
    assert {path: own for path, own in found.items() if own} == {}


@pytest.mark.parametrize("model", MODELS_OF_SCENES)
def test_a_map_from_the_item_is_the_map_of_the_platform(
    model: str, original: Store, moved: Path, script: ModuleType, tmp_path: Path
) -> None:
    scene = write(tmp_path / "scene.tif")
    expected = map_scene(original, row_of(original, model), scene, "scene")
    script.main(str(moved / item_of(original, model)), str(scene), str(tmp_path / "map.tif"))
    with open_raster(original.workspace.root / expected.raster.path) as ours:
        theirs: NDArray[np.int64]
        with rasterio.open(tmp_path / "map.tif") as raster:
            theirs = raster.read(1)
            assert raster.nodata == ours.nodata
        np.testing.assert_array_equal(theirs, ours.read(1))
    assert set(np.unique(theirs)) == {3, 200, 255}


@pytest.mark.parametrize("model", ["row", "number"])
def test_a_table_has_the_results_of_the_platform(
    model: str, original: Store, moved: Path, script: ModuleType, tmp_path: Path
) -> None:
    row = row_of(original, model)
    data = raw_data(original.workspace, original.registry, row)
    X, _ = data.arrays("test")
    X[0, 1] = np.nan if model == "row" else X[0, 1]
    pd.DataFrame(X, columns=data.features).to_csv(tmp_path / "rows.csv", index=False)
    script.main(
        str(moved / item_of(original, model)), str(tmp_path / "rows.csv"), str(tmp_path / "found")
    )
    decided = decide(onnx_of(original, model).predict(X))
    np.testing.assert_array_equal(
        np.loadtxt(tmp_path / "found", dtype=np.float32), decided.astype(np.float32)
    )
    assert len(np.unique(decided)) > 2


def test_an_image_of_another_size_has_the_class_of_the_platform(
    original: Store, moved: Path, script: ModuleType, tmp_path: Path
) -> None:
    data = raw_data(original.workspace, original.registry, row_of(original, "image"))
    onnx = onnx_of(original, "image")
    seen = []
    for split in ("train", "test"):
        X, _ = data.arrays(split)
        decided = decide(onnx.predict(X))
        for path, expected in zip(data.committed.split(split)["path"], decided, strict=True):
            image = original.workspace.root / "landing/photos" / path
            script.main(
                str(moved / item_of(original, "image")), str(image), str(tmp_path / "found")
            )
            assert int(np.loadtxt(tmp_path / "found")) == expected
            seen.append((path, int(expected)))
    assert len(seen) == 16 and len({decided for _, decided in seen}) == 2


def test_the_catalogue_in_a_bucket_runs_there(
    original: Store, moved: Path, script: ModuleType, gs: Bucket, tmp_path: Path
) -> None:
    gs.land(moved)
    url = f"{gs.server.endpoint}/{gs.url.removeprefix('gs://')}/{item_of(original, 'window')}"
    scene = write(tmp_path / "scene.tif")
    for item, target in ((url, "there"), (str(moved / item_of(original, "window")), "here")):
        script.main(item, str(scene), str(tmp_path / target))
    assert (tmp_path / "there").read_bytes() == (tmp_path / "here").read_bytes()


def test_weights_that_are_not_those_of_the_item_do_not_run(
    original: Store, moved: Path, script: ModuleType, tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(moved, folder)
    row = row_of(original, "row")
    weights = folder / model_folder(row.model, row.version) / "model.onnx"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes() + b"\0")
    with pytest.raises(ValueError, match="is not the file that"):
        script.Model(str(folder / item_of(original, "row")))


Changed = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    "change",
    [
        lambda item: item["properties"]["mlm:input"][0]["bands"].reverse(),
        lambda item: item["properties"]["mlm:output"][0]["classification:classes"].reverse(),
        lambda item: item["properties"]["mlm:input"][0]["pre_processing_function"].pop(0),
    ],
    ids=["bands", "classes", "scale"],
)
def test_the_results_follow_from_the_item(
    change: Changed, original: Store, moved: Path, script: ModuleType, tmp_path: Path
) -> None:
    path = moved / item_of(original, "physical")
    scene = write(tmp_path / "scene.tif")
    script.main(str(path), str(scene), str(tmp_path / "map.tif"))
    item = json.loads(path.read_text())
    change(item)
    other = path.with_name("other.json")
    other.write_text(json.dumps(item))
    script.main(str(other), str(scene), str(tmp_path / "other.tif"))
    other.unlink()
    assert (tmp_path / "other.tif").read_bytes() != (tmp_path / "map.tif").read_bytes()


def test_a_record_has_what_is_declared_of_model_and_data(original: Store) -> None:
    found = properties_of(original, "number")
    assert (found["license"], found["providers"]) == (DECLARED["license"], DECLARED["providers"])
    assert (found["sci:doi"], found["sci:citation"]) == (DECLARED["doi"], DECLARED["citation"])
    assert (found["mlm:pretrained"], found["mlm:pretrained_source"]) == (
        True,
        DECLARED["pretrained"],
    )
    assert found["mlops:data_license"] == "CC-BY-4.0"
    assert found["sci:publications"] == [{"doi": "10.1234/data"}]
    assert {"yield", "agriculture", "scikit-learn", "ONNX", "regression"} <= set(found["keywords"])
    (output,) = found["mlm:output"]
    assert (output["unit"], output["result"]["dim_order"]) == ("t/ha", ["batch"])
    assert "mlm:pretrained" not in properties_of(original, "row")


def test_a_record_has_intervals_of_the_metrics(original: Store) -> None:
    found = properties_of(original, "row")
    intervals = found["mlops:metric_intervals"]
    low, high = intervals["metrics"]["accuracy"]
    assert low <= found["mlops:metrics"]["accuracy"] <= high
    assert intervals["confidence"] == 0.95 and intervals["units"] > 0


@pytest.mark.parametrize(
    ("model", "patch", "field"),
    [
        ("pixel", [1, 1], [1, 1]),
        ("patch", [5, 5], [5, 5]),
        ("window", [8, 8], [3, 3]),
        ("image", [8, 8], None),
        ("row", None, None),
    ],
)
def test_a_record_has_patch_size_and_receptive_field(
    model: str, patch: list[int] | None, field: list[int] | None, original: Store
) -> None:
    found = properties_of(original, model)
    assert found.get("mlops:patch_size") == patch
    assert found.get("mlops:receptive_field") == field


def test_bands_have_common_name_type_and_nodata(original: Store) -> None:
    nir, red = properties_of(original, "pixel")["bands"]
    assert nir == {
        "name": "nir",
        "eo:common_name": "nir",
        "data_type": "uint16",
        "nodata": 65535,
    }
    assert red["eo:common_name"] == "red"


def test_classes_have_the_colours_of_the_maps(original: Store, tmp_path: Path) -> None:
    (output, *_) = properties_of(original, "pixel")["mlm:output"]
    scene = write(tmp_path / "scene.tif")
    found = map_scene(original, row_of(original, "pixel"), scene, "colours")
    with open_raster(original.workspace.root / found.raster.path) as raster:
        colours = raster.colormap(1)
    for entry in output["classification:classes"]:
        assert bytes.fromhex(entry["color_hint"]) == bytes(colours[entry["value"]][:3])


def test_the_code_of_a_trainer_is_an_asset(original: Store) -> None:
    key = item_of(original, "number")
    asset = json.loads(original.workspace.get(key))["assets"]["source_code"]
    path = (original.workspace.root / key).parent / asset["href"]
    assert path.resolve().read_text() == inspect.getsource(sklearn_trainer)
    assert asset["mlm:entrypoint"] == FOREST["trainer"] and "code" in asset["roles"]
    run = original.registry.run(row_of(original, "number").run_id)
    assert asset.get("mlops:commit") == run.code.get("commit")


def test_weights_and_parameters_are_counted(original: Store) -> None:
    found = properties_of(original, "window")
    # 3 x 3 x 4 x 4 + 4 and 4 x 2 + 2; scaling has two figures a band
    assert found["mlm:total_parameters"] == 158
    assert 4 * 158 + 32 <= found["mlm:memory_size"] < 4 * 158 + 200
    assert found["mlm:batch_size_suggestion"] == 1024
    assert "mlm:total_parameters" not in properties_of(original, "row")


def test_a_tag_is_in_the_records_of_the_data_and_of_its_models(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    tag_data_version(store, "fields", "v1", "early")
    lifecycle(store, model_specification(), recorded=True)
    land_table(crops_table(200))
    other = lifecycle(store, model_specification(), "v2", recorded=True)
    tag_data_version(store, "fields", "v1", "harvest-2024")
    head = store.registry.newest_entry()
    tag_data_version(store, "fields", "v1", "harvest-2024")
    assert store.registry.newest_entry() == head
    row = store.registry.model_versions("crops")[0]
    key = model_item_key(row.model, row.version)
    tags = ["early", "harvest-2024"]
    assert json.loads(store.workspace.get(key))["properties"]["mlops:data_tags"] == tags
    collection = store.workspace.get(dataset_collection_key("fields", "v1"))
    assert json.loads(collection)["mlops:tags"] == tags
    assert "mlops:data_tags" not in properties_of(store, other.model)
    assert verify_all(store).passed
    assert list(migrate_records(store)) == []


def test_the_container_of_a_run_is_an_asset(
    store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    image = "registry.example.org/eo/trainers@sha256:0123"
    monkeypatch.setenv("DAGSTER_CURRENT_IMAGE", image)
    land_table()
    lifecycle(store, model_specification(), recorded=True)
    found = json.loads(store.workspace.get(item_of(store, "crops")))
    asset = found["assets"]["container"]
    assert asset["href"] == image and "mlm:training-runtime" in asset["roles"]
    assert validator(DEFAULT).is_valid(found)
