"""`mlops predict` by MLM Items whose model the workspace does not have."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.names import Reference
from mlops_assets.paths import map_key, model_item_key
from mlops_assets.prediction.mapped import Options
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.stac.maps.document import ExternalMapDocument
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.components.areas.project import (
    LEFT,
    TOP,
    land,
    open_workspace,
    trained_workspace,
)
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.integrations.mlm.foreign_models import write_item
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.training.example_trainers import (
    lifecycle,
    model_specification,
    windows_source,
)


@pytest.fixture(scope="module")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = trained_workspace(tmp_path_factory.mktemp("elsewhere") / "workspace")
    store = open_workspace(root)
    write_scene(root / "landing/windows", size=40)
    windows = scenes_specification("windows", **windows_source("windows"))
    commit(store.workspace, store.registry, windows)
    scaled = {"dataset": "scenes", "scaling": "standardize"}
    network = "mlops_assets_tests.training.example_trainers:network"
    for declared in (
        model_specification("scaled_pixel", inputs="pixel", **scaled),
        model_specification("scaled_patch", **scaled),
        model_specification(
            "window", dataset="windows", task="semantic-segmentation", trainer=network
        ),
    ):
        lifecycle(store, declared, recorded=True)
    store.registry.close()
    return root


@pytest.fixture
def here(project: Path) -> Store:
    """The empty workspace of the project, which is the cwd."""
    (project / "workspace").mkdir(exist_ok=True)
    return open_workspace(project / "workspace")


def pixels(path: Path) -> NDArray[Any]:
    with open_raster(path) as raster:
        return np.asarray(raster.read())


def scene_with_nan(folder: Path) -> Path:
    """A scene of floating-point numbers, some of them NaN."""
    plain = land(folder, "plain", None)
    values = pixels(plain).astype(np.float32)
    values[1, 5:7, 9] = np.nan
    profile = {
        **{"driver": "GTiff", "height": 32, "width": 32, "count": 4, "dtype": "float32"},
        "crs": "EPSG:32632",
        "transform": (10, 0, LEFT, 0, -10, TOP),
    }
    with open_raster(folder / "nan.tif", "w", **profile) as raster:
        raster.write(values)
    plain.unlink()
    return folder / "nan.tif"


@pytest.mark.parametrize("model", ["land", "scaled_pixel", "scaled_patch", "window"])
def test_an_item_of_a_workspace_that_was_moved_maps_as_its_model_version_does(
    here: Store, project: Path, tmp_path: Path, mlops: Mlops, _trained: Path, model: str
) -> None:
    scene = scene_with_nan(project)
    # by the workspace that has the model
    shutil.copytree(_trained, tmp_path / "other")
    there = open_workspace(tmp_path / "other")
    row = there.registry.model_version(Reference(model))
    map_scene(there, row, scene, "nan", Options(("class", "confidence")))
    # by the Item alone, which is somewhere else
    moved = tmp_path / "moved"
    shutil.copytree(_trained, moved)
    (moved / "registry.db").unlink()
    item = moved / model_item_key(model, row.version)
    done = mlops("predict", str(item), str(scene), "--out", "map.tif", "--outputs", "confidence")
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["map.tif"]
    for end in (".tif", ".scores.tif"):
        expected = there.workspace.local_path(map_key(model, row.version, "nan", end))
        np.testing.assert_array_equal(pixels(project / f"map{end}"), pixels(expected))
    with open_raster(project / "map.tif") as found, open_raster(expected) as other:
        assert found.tags().get("MLOPS_WINDOWS") == other.tags().get("MLOPS_WINDOWS")
    names = {path.name for path in project.glob("map*")}
    assert names == {"map.tif", "map.tif.aux.xml", "map.scores.tif", "map.png", "map.map.json"}
    # nothing is published, and no unfinished work is left
    assert not here.registry.maps(MapFilter()) and not here.registry.model_versions()
    assert not list(here.workspace.list("parts")) and not list(here.workspace.list("predictions"))


def test_an_item_of_others_maps_and_is_an_external_asset(
    here: Store, project: Path, tmp_path: Path, mlops: Mlops
) -> None:
    item = write_item(tmp_path)
    scene = land(project, "scene", None)
    refused = mlops("predict", str(item), str(scene))
    assert refused.code == 1 and "--out" in refused.err and "mlops model import" in refused.err
    assert "1 scene, 1,024 pixels" in mlops("predict", str(item), str(scene), "--plan").out
    done = mlops("predict", str(item), str(scene), "--out", "maps")
    assert done.code == 0, done.err
    assert "B001, B002, … in file order" in " ".join(done.err.split())
    (raster,) = (project / "maps").glob("*.tif")
    # its first band is the scene's fourth, whatever order the record has them in: land above 175
    fourth = pixels(scene)[3].astype(int)
    found = pixels(raster)[0]
    clear = np.abs(fourth - 175) > 1
    np.testing.assert_array_equal(found[clear], np.where(fourth > 175, 0, 1)[clear])
    with open_raster(raster) as opened:
        tags = opened.tags()
        assert opened.tags(1)["CLASS_0"] == "Land"
    weights = sha256_of(tmp_path / "weights.onnx")
    assert tags["MLOPS_MODEL"] == "land-or-water" and tags["MLOPS_MODEL_ITEM"] == str(item)
    assert tags["MLOPS_MODEL_SHA256"] == weights and "MLOPS_RUN" not in tags
    (described,) = (project / "maps").glob("*.map.json")
    document = ExternalMapDocument.model_validate_json(described.read_bytes())
    assert (document.record, document.model_sha256) == (str(item), weights)
    assert document.record_sha256 == sha256_of(item)
    assert document.scenes[0].files[0].sha256 == sha256_of(scene)
    assert document.files[".tif"].sha256 == sha256_of(raster)
    with dg.DagsterInstance.from_config(str(project / "workspace/dagster")) as instance:
        key = dg.AssetKey(["land-or-water", "maps"])
        (record,) = instance.fetch_materializations(key, limit=9).records
    event = record.asset_materialization
    assert event is not None and event.metadata["item"].value == str(item)
    assert event.metadata["file"].value == str(raster)
    assert event.metadata["input_digest"].value == document.input_digest


def test_all_that_an_item_lacks_is_listed(
    here: Store, project: Path, tmp_path: Path, mlops: Mlops
) -> None:
    path = write_item(tmp_path)
    item = json.loads(path.read_text())
    del item["id"]
    outputs = item["properties"]["mlm:output"]
    del outputs[0]["classification:classes"]
    item["properties"]["mlm:input"][0]["input"]["shape"] = [-1, 4, 4, 4]
    item["assets"]["onnx"]["file:size"] += 1
    path.write_text(json.dumps(item))
    scene = land(project, "scene", None)
    refused = mlops("predict", str(path), str(scene), "--out", "map.tif")
    message = " ".join(refused.err.split())
    assert refused.code == 1 and "4 problem(s)" in message
    for lacking in ("id: is missing", "classes: are missing", "pixel in the middle", "states"):
        assert lacking in message
    del item["properties"]["mlm:input"], item["properties"]["mlm:name"]
    del item["assets"]["onnx"]
    path.write_text(json.dumps(item))
    message = " ".join(mlops("predict", str(path), str(scene), "--out", "map.tif").err.split())
    for lacking in ("mlm:input: is missing", "mlm:name: is missing", "no ONNX file among"):
        assert lacking in message
    assert not list(project.glob("map*"))


@pytest.mark.parametrize("fault", ["external data", "custom operators"])
def test_an_onnx_file_that_needs_more_than_itself_is_refused(
    here: Store, project: Path, tmp_path: Path, mlops: Mlops, fault: str
) -> None:
    path = write_item(tmp_path)
    weights = tmp_path / "weights.onnx"
    model = onnx.load(weights)
    if fault == "external data":
        tensor = model.graph.initializer[0]
        tensor.data_location = TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../etc/passwd")
    else:
        model.graph.node[0].domain = "com.example"
        model.opset_import.append(helper.make_opsetid("com.example", 1))
    weights.write_bytes(model.SerializeToString())
    item = json.loads(path.read_text())
    asset = item["assets"]["onnx"]
    asset["file:checksum"], asset["file:size"] = f"1220{sha256_of(weights)}", weights.stat().st_size
    path.write_text(json.dumps(item))
    scene = land(project, "scene", None)
    refused = mlops("predict", str(path), str(scene), "--out", "map.tif")
    assert refused.code == 1 and "Traceback" not in refused.err
    named = {"external data": "lies in another file", "custom operators": "com.example"}[fault]
    assert named in " ".join(refused.err.split())
    assert not list(project.glob("map*"))
