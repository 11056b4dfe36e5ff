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
import onnxruntime
import pytest

from mlops_assets.components.events.reporting import DagsterReporter
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import ImportRefused
from mlops_assets.external import external_run
from mlops_assets.integrations.mlm.import_model import ImportedModel, ModelImport, import_model
from mlops_assets.lineage.chain import model_lineage
from mlops_assets.lineage.mermaid import mermaid
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import model_folder, model_item_key, run_document_key
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.integrations.external.test_external_run import send_onnx
from mlops_assets_tests.integrations.mlm.foreign_models import (
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
        *(True, True, True, True)
    ]
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
    assert "arity is not claimed" in card and run["tags"]["import.sha256"] in card
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
    for stage in ("trained_model", "onnx_model", "evaluation", "record"):
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
    found = importing(write_item(tmp_path))
    key = f"{model_folder('water', found.version)}/model.onnx"
    ours = onnxruntime.InferenceSession(published_path(store.workspace, store.registry, key))
    theirs = onnxruntime.InferenceSession(tmp_path / "weights.onnx")
    X = np.random.default_rng(0).uniform(100, 250, (9, 4, 3, 3)).astype(np.float32)
    # bands 1 to 4 to 4 to 1, scaled, as NHWC; land and water to water and land
    means = np.array([175, 170, 165, 160], dtype=np.float32)
    given = (X[:, ::-1].transpose(0, 2, 3, 1) - means) / 50
    expected = theirs.run(None, {"patch": given})[0][:, ::-1]
    # the names of bands in that order are those of the record
    assert np.allclose(ours.run(["scores"], {"input": X[:, ::-1]})[0], expected, atol=1e-5)


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
