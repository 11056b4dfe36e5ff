"""Models of others, imported on data of this platform."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from mlops_assets.components.events.reporting import DagsterReporter
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import GateFailure, ImportRefused, StorageError
from mlops_assets.external import external_run
from mlops_assets.integrations import imported_version
from mlops_assets.integrations.mlm.import_model import ImportedModel, ModelImport, import_model
from mlops_assets.lineage.chain import model_lineage
from mlops_assets.lineage.mermaid import mermaid
from mlops_assets.models.promotion import promote
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, model_item_key, run_document_key
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, scenes_specification, table_specification
from mlops_assets_tests.integrations.external.test_external_run import send_onnx
from mlops_assets_tests.integrations.mlm.foreign_models import (
    MEANS,
    foreign_properties,
    land_or_water,
    write_item,
)

Import = Callable[..., ImportedModel]


@pytest.fixture
def instance() -> Any:
    """A Dagster instance that receives the reports."""
    with dg.DagsterInstance.ephemeral() as opened:
        yield opened


@pytest.fixture
def importing(store: Store, instance: dg.DagsterInstance) -> Import:
    """Import a model as `water`: `importing(source, record=…, data=…)`."""

    def run(
        source: Path | str,
        record: Path | str | None = None,
        data: str = "scenes@v1",
        declared: ModelSpecification | None = None,
    ) -> ImportedModel:
        request = ModelImport(
            str(source),
            None if record is None else str(record),
            "water",
            Reference.parse(data),
            "tester",
        )
        return import_model(
            store, request, declared, lambda known: DagsterReporter(store, known, instance)
        )

    return run


@pytest.fixture
def scenes(land_scenes: Callable[..., Commit]) -> None:
    """The data version `scenes@v1`."""
    land_scenes()


def write_record(path: Path, **properties: Any) -> Path:
    path.write_text(json.dumps(foreign_properties() | properties))
    return path


def refused(importing: Import, store: Store, *arguments: Any, **more: Any) -> str:
    """Import what cannot be imported; return the message, once nothing was written."""
    with pytest.raises(ImportRefused) as refusal:
        importing(*arguments, **more)
    assert not store.registry.runs() and not store.registry.model_versions("water")
    return str(refusal.value)


def test_a_foreign_item_becomes_a_model_version_without_a_claim_of_parity(
    store: Store,
    tmp_path: Path,
    scenes: None,
    importing: Import,
    instance: dg.DagsterInstance,
) -> None:
    item = write_item(tmp_path)
    found = importing(item)
    assert found.outcome is not None and [stage.passed for stage in found.outcome.stages] == [
        *(True, True, True, True, True)
    ]
    assert "what it was trained on is not known" in str(found.outcome)
    # in other orders of bands, axes or classes, or scaled otherwise, it would be near a half
    assert found.outcome.metrics["accuracy"] > 0.99
    row = store.registry.model_version(Reference("water", found.version))
    assert (row.stage, row.data_version, row.framework) == ("recorded", "v1", "onnx")
    run = json.loads(store.workspace.get(run_document_key(row.run_id)))
    assert (run["source"], run["seed"], run["parameters"]) == ("import", 5, {"epochs": 3})
    assert run["tags"] == {
        "import.source": str(tmp_path / "weights.onnx"),
        "import.sha256": sha256_of(tmp_path / "weights.onnx"),
        "import.record": str(item),
        "import.parity": "not claimed",
    }
    folder = model_folder("water", found.version)
    parity = json.loads(store.workspace.get(f"{folder}/parity.json"))
    assert parity["claimed"] is False
    assert (
        store.workspace.get(f"{folder}/native/original.onnx")
        == (tmp_path / "weights.onnx").read_bytes()
    )
    card = store.workspace.get(f"{folder}/model-card.md").decode()
    assert "arity is not claimed" in card and "| trained on |" not in card
    assert run["tags"]["import.sha256"] in card
    record = json.loads(store.workspace.get(model_item_key("water", found.version)))
    assert record["properties"]["mlops:import"]["parity"] == "not claimed"
    assert record["properties"]["mlops:import"]["sha256"] == run["tags"]["import.sha256"]
    derived = [link for link in record["links"] if link["rel"] == "derived_from"]
    assert [link["ml-aoi:split"] for link in derived] == ["test"]
    chain = model_lineage(store, Reference("water", found.version))
    assert chain.run is not None and chain.run.imported["sha256"] == run["tags"]["import.sha256"]
    assert "imported from" in mermaid(chain)
    assert verify_model(store, row).problems == []
    assert importing(item) == ImportedModel(
        "water", found.version, found.source, found.sha256, False, found.assumed
    )
    for stage in ("trained_model", "onnx_model", "applicability", "evaluation", "record"):
        key = dg.AssetKey(["water", stage])
        (event,) = instance.fetch_materializations(key, limit=5).records
        assert event.partition_key == "v1"
    (check,) = instance.event_log_storage.get_asset_check_execution_history(
        dg.AssetCheckKey(dg.AssetKey(["water", "onnx_model"]), "parity"), limit=5
    )
    assert check.event is not None and check.event.dagster_event is not None
    evaluation = check.event.dagster_event.asset_check_evaluation_data
    assert not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.WARN
    assert instance.get_dynamic_partitions("scenes_versions") == ["v1"]


def test_the_adapted_file_gives_what_the_original_gives(
    store: Store, tmp_path: Path, scenes: None, importing: Import
) -> None:
    item = write_item(tmp_path)
    theirs = onnxruntime.InferenceSession(tmp_path / "weights.onnx")
    X = np.random.default_rng(0).uniform(100, 250, (9, 4, 3, 3)).astype(np.float32)
    # scaled, as NHWC; land and water to water and land
    means = np.array(MEANS, dtype=np.float32)
    expected = theirs.run(None, {"patch": (X.transpose(0, 2, 3, 1) - means) / 50})[0][:, ::-1]
    # undeclared it takes bands in the order of its record, declared in that of the data
    for declared, given in ((None, X), (declaration(), X[:, ::-1])):
        found = importing(item, declared=declared)
        key = f"{model_folder('water', found.version)}/model.onnx"
        ours = onnxruntime.InferenceSession(published_path(store.workspace, store.registry, key))
        assert np.allclose(ours.run(["scores"], {"input": given})[0], expected, atol=1e-5)


def declaration(**changes: object) -> ModelSpecification:
    attributes: dict[str, object] = {
        "name": "water",
        "dataset": "scenes",
        "task": "classification",
        "trainer": "mlops_assets.training.trainers.sklearn:train",
    }
    return ModelSpecification.model_validate(attributes | changes)


def test_our_own_published_item_is_imported_from_a_moved_folder(
    store: Store, tmp_path: Path, land_table: Callable[..., Commit], importing: Import
) -> None:
    land_table()
    with external_run("crops", "fields@v1", task="classification") as run:
        send_onnx(run, tmp_path / "sent.onnx")
    assert run.outcome is not None
    moved = tmp_path / "moved"
    for part in ("catalog", "models"):
        shutil.copytree(store.workspace.root / part, moved / part)
    key = model_item_key("crops", run.outcome.version)
    found = importing(moved / key, data="fields@v1")
    assert found.outcome is not None
    assert found.outcome.metrics == run.outcome.metrics
    assert found.assumed == []


def test_an_ml_model_item_is_converted_and_what_is_assumed_is_stated(
    store: Store, tmp_path: Path, scenes: None, importing: Import
) -> None:
    land_or_water(tmp_path / "weights.onnx")
    properties = {
        "ml-model:type": "ml-model",
        "ml-model:learning_approach": "supervised",
        "ml-model:prediction_type": "classification",
        "ml-model:architecture": "one layer",
    }
    item = {
        "type": "Feature",
        "id": "old",
        "properties": properties,
        "assets": {"model": {"href": "weights.onnx", "type": "application/octet-stream"}},
    }
    (tmp_path / "old.json").write_text(json.dumps(item))
    found = importing(tmp_path / "old.json")
    assert found.outcome is not None and "accuracy" in found.outcome.metrics
    assumed = "\n".join(found.assumed)
    for text in ("ml-model", "in this order", "batch, height, width, bands", "raw", "checksum"):
        assert text in assumed
    row = store.registry.model_version(Reference("water", found.version))
    assert "ml-model" in store.registry.run(row.run_id).tags["import.assumed"]


def test_all_that_a_record_lacks_is_listed_at_once(
    store: Store, tmp_path: Path, scenes: None, importing: Import
) -> None:
    land_or_water(tmp_path / "model.onnx", inputs=2)
    properties = foreign_properties()
    described = properties["mlm:input"][0]
    del described["bands"], described["input"]["shape"]
    described["value_scaling"] = [{"type": "z-score", "mean": 1.0}]
    described["pre_processing_function"] = {"format": "python", "expression": "a.b:c"}
    del properties["mlm:output"], properties["mlm:name"]
    (tmp_path / "record.json").write_text(json.dumps(properties))
    message = refused(importing, store, tmp_path / "model.onnx", tmp_path / "record.json")
    for problem in (
        "mlm:name: is missing",
        "mlm:input.0.input.shape: is missing",
        "neither bands nor variables",
        "needs the number 'stddev'",
        "'python: a.b:c' is not evaluated",
        "mlm:output: is missing",
        "2 inputs (patch, more)",
    ):
        assert problem in message
    assert "7 problem(s)" in message


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p["mlm:input"][0].update(bands=["B1", "B2", "B3", "B4"]), "scenes@v1 has no B1"),
        (
            lambda p: p["mlm:input"][0]["input"].update(shape=[-1, 9, 9, 4]),
            r"\(any, 9, 9, 4\), and patch",
        ),
        (lambda p: p["mlm:input"][0]["input"].update(data_type="uint8"), "the data type uint8"),
        (
            lambda p: p["mlm:input"][0]["input"].update(
                dim_order=["batch", "time", "width", "channel"]
            ),
            "the axes are batch, time",
        ),
        (
            lambda p: p["mlm:output"][0]["classification:classes"][0].update(name="ice"),
            "are ice, Water, and the classes of scenes@v1 are water, land",
        ),
        (lambda p: p["mlm:input"][0]["value_scaling"].pop(), "scales 3 bands and takes 4"),
        (lambda p: p.update({"mlm:tasks": ["object-detection"]}), "not a task of this platform"),
    ],
)
def test_a_record_that_differs_from_file_or_data_is_refused(
    store: Store,
    tmp_path: Path,
    scenes: None,
    importing: Import,
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    land_or_water(tmp_path / "model.onnx")
    properties = foreign_properties()
    change(properties)
    (tmp_path / "record.json").write_text(json.dumps(properties))
    found = refused(importing, store, tmp_path / "model.onnx", tmp_path / "record.json")
    assert re.search(message, found), found


def graph_of(
    nodes: list[onnx.NodeProto],
    source: onnx.ValueInfoProto,
    target: onnx.ValueInfoProto,
    **constants: Any,
) -> onnx.ModelProto:
    values = [numpy_helper.from_array(np.asarray(value), n) for n, value in constants.items()]
    graph = helper.make_graph(nodes, "foreign", [source], [target], values)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def test_labels_by_value_of_windows_of_integers_are_in_the_order_of_the_data(
    store: Store,
    tmp_path: Path,
    land_scenes: Callable[..., Commit],
    importing: Import,
) -> None:
    layout = {"layout": "scenes", "scenes": {"size": 8, "read": "windows"}}
    split = {"method": "random", "fractions": {"train": 0.6, "test": 0.4}}
    source = {"url": "landing/scenes", **layout}
    land_scenes(scenes_specification(source=source, split=split))
    nodes = [
        helper.make_node("Gather", ["tile", "last"], ["band"], axis=3),
        helper.make_node("Cast", ["band"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Less", ["number", "limit"], ["is_water"]),
        helper.make_node("Where", ["is_water", "water", "land"], ["map"]),
    ]
    model = graph_of(
        nodes,
        helper.make_tensor_value_info("tile", TensorProto.UINT16, ["n", None, None, 4]),
        helper.make_tensor_value_info("map", TensorProto.UINT8, ["n", None, None]),
        last=np.int64(3),
        limit=np.float32(175),
        water=np.uint8(20),
        land=np.uint8(10),
    )
    onnx.save(model, tmp_path / "model.onnx")
    properties = foreign_properties()
    properties["mlm:tasks"] = ["semantic-segmentation"]
    described = properties["mlm:input"][0]
    described["input"] |= {"shape": [-1, -1, -1, 4], "data_type": "uint16"}
    del described["value_scaling"]
    output = properties["mlm:output"][0]
    output["result"] = {
        "shape": [-1, -1, -1],
        "dim_order": ["batch", "height", "width"],
        "data_type": "uint8",
    }
    output["classification:classes"] = [
        {"value": 10, "name": "land"},
        {"value": 20, "name": "water"},
    ]
    (tmp_path / "record.json").write_text(json.dumps(properties))
    found = importing(tmp_path / "model.onnx", tmp_path / "record.json")
    assert found.outcome is not None and found.outcome.metrics["accuracy"] > 0.99
    assert any("no checksum is stated" in assumed for assumed in found.assumed)


def test_a_record_of_mlm_1_3_scales_a_regression_by_its_statistics(
    store: Store, tmp_path: Path, land_table: Callable[..., Commit], importing: Import
) -> None:
    frame = crops_table().drop(columns=["farm", "crop"])
    table = {"layout": "table", "table": {"label": "ndvi_06"}}
    land_table(frame, table_specification(source={"url": "landing/fields", **table}))
    nodes = [
        helper.make_node("Gather", ["months", "chosen"], ["half"], axis=1),
        helper.make_node("Mul", ["half", "two"], ["estimate"]),
    ]
    model = graph_of(
        nodes,
        helper.make_tensor_value_info("months", TensorProto.FLOAT, ["n", 5]),
        helper.make_tensor_value_info("estimate", TensorProto.FLOAT, ["n", 1]),
        chosen=np.array([4]),
        two=np.float32(2),
    )
    onnx.save(model, tmp_path / "model.onnx")
    properties = foreign_properties()
    properties["mlm:tasks"] = ["regression"]
    properties["mlm:input"] = [
        {
            "name": "months",
            "bands": [f"ndvi_0{month}" for month in range(1, 6)],
            "input": {"shape": [-1, 5], "dim_order": ["batch", "bands"], "data_type": "float32"},
            "norm_by_channel": False,
            "norm_type": "min-max",
            "statistics": [{"minimum": 0, "maximum": 2}],
        }
    ]
    properties["mlm:output"] = [
        {
            "name": "estimate",
            "tasks": ["regression"],
            "result": {"shape": [-1, 1], "dim_order": ["batch", "value"], "data_type": "float32"},
        }
    ]
    uri = "https://crim-ca.github.io/mlm-extension/v1.3.0/schema.json"
    document = {"type": "Feature", "stac_extensions": [uri], "properties": properties}
    (tmp_path / "record.json").write_text(json.dumps(document))
    found = importing(tmp_path / "model.onnx", tmp_path / "record.json", data="fields@v1")
    assert found.outcome is not None and found.outcome.metrics["rmse"] < 0.1


def external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[1]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_data, "tensor 'weights' of the ONNX file lies in another file"),
        (lambda m: setattr(m.graph.node[2], "domain", "com.example"), "uses com.example"),
        (lambda m: setattr(m.opset_import[0], "version", 999), "opset 999 is newer than"),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 8),
            "takes batches of 8 only",
        ),
        (lambda m: setattr(m.graph.node[2], "op_type", "Divine"), "no operator Divine"),
        # each sample of a batch changes the others
        (
            lambda m: m.graph.node[3].attribute[0].CopyFrom(helper.make_attribute("axis", 0)),
            "for batches of 1 than for",
        ),
    ],
)
def test_an_onnx_file_that_cannot_be_evaluated_is_refused(
    store: Store,
    tmp_path: Path,
    scenes: None,
    importing: Import,
    change: Callable[[onnx.ModelProto], None],
    message: str,
) -> None:
    land_or_water(tmp_path / "model.onnx")
    model = onnx.load(tmp_path / "model.onnx")
    change(model)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    record = write_record(tmp_path / "record.json")
    assert message in refused(importing, store, tmp_path / "model.onnx", record)


def test_an_import_that_failed_while_it_was_written_is_done_by_another(
    store: Store,
    tmp_path: Path,
    scenes: None,
    importing: Import,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    item = write_item(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(imported_version, "publish_version", full_disk)
        with pytest.raises(StorageError, match="no space"):
            importing(item)
    (run,) = store.registry.runs()
    assert run.status == "failed" and not store.registry.model_versions("water")
    found = importing(item)
    assert found.new and found.outcome is not None and found.outcome.metrics
    (run,) = store.registry.runs()
    assert run.status == "succeeded"


def full_disk(*_: object) -> None:
    raise StorageError("no space left on the disk")


def test_gates_of_the_project_apply_to_an_import(
    store: Store, tmp_path: Path, scenes: None, importing: Import
) -> None:
    item = write_item(tmp_path)
    declared = declaration(gates=[{"metric": "accuracy", "min": 1.1}])
    found = importing(item, declared=declared)
    assert found.outcome is not None and not found.outcome.gates_passed
    row = store.registry.model_version(Reference("water", found.version))
    with pytest.raises(GateFailure):
        promote(store, row, declared.gates)
    promote(store, row, [])
    assert store.registry.model_version(Reference("water", "production")).version == found.version
