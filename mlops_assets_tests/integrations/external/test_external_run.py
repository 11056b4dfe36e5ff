"""Runs made in another process than the platform's.

What is recorded of them, and what keeps their models back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.tree import DecisionTreeClassifier
from torch import nn

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import (
    Conflict,
    ExportError,
    GateFailure,
    NotFound,
    ParityError,
    SpecificationError,
    TrainerError,
)
from mlops_assets.external import external_run
from mlops_assets.integrations.external.external_run import ExternalRun
from mlops_assets.models.promotion import promote
from mlops_assets.models.specification import Gate
from mlops_assets.models.verify import verify_model
from mlops_assets.paths import model_folder
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.store import Store
from mlops_assets.training.resume import close_abandoned_runs
from mlops_assets_tests.models.export.onnx_files import linear_classifier, scores_of
from mlops_assets_tests.training.example_trainers import require_documents

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 16
FIELDS: dict[str, Any] = {"task": "classification"}


@pytest.fixture(autouse=True)
def data(land_table: Callable[..., Commit], tmp_path: Path) -> None:
    """The dataset `fields`, v1, with three classes and six features, in a project with a model."""
    land_table()
    project = "mlops_assets_tests.integrations.external.project"
    (tmp_path / "pyproject.toml").write_text(f'[tool.dg.project]\nroot_module = "{project}"\n')


def train_tree(run: ExternalRun, depth: int = 4) -> None:
    X, y = run.data.arrays("train")
    run.model(DecisionTreeClassifier(max_depth=depth, random_state=run.seed).fit(X, y))


def only_version(store: Store) -> ModelVersion:
    (row,) = store.registry.model_versions("crops")
    return row


def send_onnx(run: ExternalRun, path: Path, off: float = 0.0) -> None:
    linear_classifier(path)
    run.onnx(path, scores_of(path, run.samples()) + off)


def test_a_run_and_its_model_are_recorded_as_those_of_the_platform(store: Store) -> None:
    with external_run(
        "crops", "fields@v1", {"depth": 3}, seed=7, tags={"site": "hpc"}, **FIELDS
    ) as run:
        for step in range(50):
            run.log({"loss": 1 / (step + 1)}, step)
        with run.phase("fit"):
            train_tree(run, depth=3)
        run.figure("importance", PNG)
    row, recorded = only_version(store), store.registry.run(run.run_id)
    assert (recorded.source, recorded.status, recorded.seed, recorded.parameters) == (
        "external",
        "succeeded",
        7,
        {"depth": 3},
    )
    assert recorded.trainer == Path(__file__).name
    assert recorded.tags == {"site": "hpc"}
    assert recorded.created_by == "tester"
    assert recorded.code["commit"] == recorded.code_version.partition("+")[0]
    assert recorded.usage["peak_memory_bytes"] > 1e7
    assert {"fit", "exported", "evaluated", "recorded"} <= recorded.phases.keys()
    assert len(store.registry.series(run.run_id)["loss"]) == 50
    assert (row.stage, row.framework, row.version) == (
        "recorded",
        "scikit-learn",
        f"v1-{run.run_id[:8]}",
    )
    assert (
        store.workspace.get(f"{model_folder(row.model, row.version)}/figures/importance.png") == PNG
    )
    assert b'"scikit-learn"' in store.workspace.get(
        f"{model_folder(row.model, row.version)}/environment.json"
    )
    assert run.outcome is not None and run.outcome.gates_passed
    assert run.outcome.metrics["accuracy"] == row.metrics["accuracy"] > 0.9
    assert verify_model(store, row).problems == []


def test_dagster_sees_the_stages_as_materialisations_and_checks(store: Store) -> None:
    with external_run(
        "crops", "fields", gates=[{"metric": "accuracy", "min": 0.999}], **FIELDS
    ) as run:
        train_tree(run, depth=1)
    row = only_version(store)
    assert run.outcome is not None and not run.outcome.gates_passed and not run.outcome.notes
    with dagster_instance(store) as instance:
        for step in ("trained_model", "onnx_model", "applicability", "evaluation", "record"):
            (found,) = instance.fetch_materializations(
                dg.AssetKey(["crops", step]), limit=5
            ).records
            event = found.asset_materialization
            assert event is not None and event.partition == "v1"
            assert event.metadata["model_version"].value == row.version
            assert event.tags is not None and event.tags["dagster/data_version"]
        assert checks(instance, "onnx_model", "parity") == [True]
        assert checks(instance, "record", "gates") == [False]
        (newest,) = instance.fetch_materializations(
            dg.AssetKey(["crops", "record"]), limit=1
        ).records
        about = evaluations(instance, "record", "gates")[0].target_materialization_data
        assert about is not None and about.storage_id == newest.storage_id
        assert instance.get_dynamic_partitions("fields_versions") == ["v1"]
    with pytest.raises(GateFailure):
        promote(store, row, [Gate(metric="accuracy", min=0.999)])


def test_a_declared_model_brings_its_bands_and_gates_and_is_not_declared_again(
    store: Store,
) -> None:
    with external_run("declared_crops", "fields@v1") as run:
        train_tree(run)
    (row,) = store.registry.model_versions("declared_crops")
    assert row.signature["features"] == ["ndvi_03", "ndvi_04"]
    assert run.outcome is not None and [gate.gate for gate in run.outcome.gates] == [
        "accuracy ≥ 0.2"
    ]
    with pytest.raises(SpecificationError, match="declared in the project: leave out task"):
        external_run("declared_crops", "fields@v1", **FIELDS)
    with pytest.raises(SpecificationError, match="declared on the dataset fields, not on other"):
        external_run("declared_crops", "other@v1")


def test_an_onnx_file_is_proved_by_the_outputs_that_come_with_it(
    store: Store, tmp_path: Path
) -> None:
    with external_run("crops", "fields@v1", **FIELDS) as run:
        send_onnx(run, tmp_path / "model.onnx")
    row = only_version(store)
    assert (row.stage, row.framework) == ("recorded", "onnx")
    assert row.signature["parameters"] == 7 * 3 + 3
    assert verify_model(store, row).problems == []
    published = onnx.load_from_string(
        store.workspace.get(f"{model_folder(row.model, row.version)}/model.onnx")
    )
    assert {entry.key: entry.value for entry in published.metadata_props}[
        "mlops.version"
    ] == row.version


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (lambda right: None, "nothing proves"),
        (
            lambda right: right + np.linspace(0, 1, len(right))[:, None],
            "differs from the trained model",
        ),
        (lambda right: right * np.nan, "differs from the trained model"),
        (lambda right: right[:, :2], "send them in the same order of axes"),
        (
            lambda right: {"label": right.argmax(axis=1)},
            "has the output scores, but the outputs sent are label",
        ),
    ],
)
def test_an_onnx_file_that_is_not_proved_goes_no_further(
    store: Store, tmp_path: Path, outputs: Callable[[Any], Any], message: str
) -> None:
    path = tmp_path / "model.onnx"
    with (
        pytest.raises(ParityError, match=message),
        external_run("crops", "fields@v1", **FIELDS) as run,
    ):
        linear_classifier(path)
        run.onnx(path, outputs(scores_of(path, run.samples())))
    row = only_version(store)
    assert (row.stage, store.registry.run(row.run_id).status) == ("trained", "succeeded")
    assert not store.workspace.exists(f"{model_folder(row.model, row.version)}/model.onnx")
    with pytest.raises(GateFailure, match="only trained"):
        promote(store, row, [])
    with dagster_instance(store) as instance:
        assert checks(instance, "onnx_model", "parity") == [False]
        assert not instance.fetch_materializations(
            dg.AssetKey(["crops", "onnx_model"]), limit=1
        ).records


@contextmanager
def dagster_instance(store: Store) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.from_config(str(store.workspace.root / "dagster")) as instance:
        yield instance


def evaluations(
    instance: dg.DagsterInstance, step: str, check: str
) -> list[dg.AssetCheckEvaluation]:
    key = dg.AssetCheckKey(dg.AssetKey(["crops", step]), check)
    records = instance.event_log_storage.get_asset_check_execution_history(key, limit=9)
    events = [record.event.dagster_event for record in records if record.event is not None]
    return [event.asset_check_evaluation_data for event in events if event is not None]


def checks(instance: dg.DagsterInstance, step: str, check: str) -> list[bool]:
    return [evaluation.passed for evaluation in evaluations(instance, step, check)]


def external_data(model: onnx.ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../../../etc/passwd")


def hidden_external_data(model: onnx.ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(3, dtype=np.float32), "hidden")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["hidden"], value=tensor))


def custom_domain(model: onnx.ModelProto) -> None:
    model.graph.node[0].domain = "com.example"
    model.opset_import.append(helper.make_opsetid("com.example", 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (external_data, "lies in another file"),
        (hidden_external_data, "lies in another file"),
        (custom_domain, "uses com.example"),
        (lambda m: m.functions.add(name="f", domain="mine"), "functions of its own"),
        (lambda m: setattr(m.graph.input[0], "name", "x"), "it must have one input 'input'"),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type, "elem_type", TensorProto.DOUBLE),
            "float32 of",
        ),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[0], "dim_value", 8),
            "dynamic batch axis",
        ),
        (
            lambda m: setattr(m.graph.input[0].type.tensor_type.shape.dim[1], "dim_value", 5),
            r"\(\?, 5\)",
        ),
        (
            lambda m: setattr(m.graph.output[0].type.tensor_type.shape.dim[1], "dim_value", 4),
            "4 scores a sample",
        ),
        (lambda m: setattr(m.graph.node[0], "op_type", "Divine"), "no operator Divine"),
        (
            lambda m: m.graph.output.append(helper.make_tensor_value_info("more", 1, None)),
            "has the outputs scores, more",
        ),
    ],
)
def test_an_onnx_file_without_the_contract_is_refused(
    store: Store, tmp_path: Path, change: Callable[[onnx.ModelProto], None], message: str
) -> None:
    path = tmp_path / "model.onnx"
    linear_classifier(path)
    model = onnx.load(path)
    with (
        pytest.raises(ExportError, match=message),
        external_run("crops", "fields@v1", **FIELDS) as run,
    ):
        outputs = scores_of(path, run.samples())
        change(model)
        path.write_bytes(model.SerializeToString())
        run.onnx(path, {"scores": outputs})
    assert not store.registry.model_versions("crops")
    assert store.registry.run(run.run_id).status == "failed"


def test_bytes_that_are_no_onnx_are_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"\x00\xff not a model")
    with (
        pytest.raises(ExportError, match="not an ONNX file"),
        external_run("crops", "fields@v1", **FIELDS) as run,
    ):
        run.onnx(tmp_path / "model.onnx", {"scores": np.zeros((3, 3))})
    assert "not an ONNX file" in (store.registry.run(run.run_id).error or "")


@pytest.mark.parametrize(
    ("raised", "status", "said"),
    [
        (RuntimeError("out of luck"), "failed", "out of luck"),
        (KeyboardInterrupt(), "canceled", "KeyboardInterrupt"),
        (TrainerError("no data"), "failed", "no data"),
    ],
)
def test_a_block_that_ends_early_is_recorded_so(
    store: Store, raised: BaseException, status: str, said: str
) -> None:
    with pytest.raises(type(raised)), external_run("crops", "fields@v1", **FIELDS) as run:
        run.log({"loss": 0.5}, 0)
        raise raised
    recorded = store.registry.run(run.run_id)
    assert recorded.status == status and said in (recorded.error or "")
    assert recorded.metrics == {"loss": 0.5}
    assert store.registry.series(run.run_id) == {"loss": [(0, 0.5)]}
    require_documents(store, run.run_id)


def test_a_run_without_a_model_fails_with_a_message(store: Store) -> None:
    with (
        pytest.raises(TrainerError, match="without a model"),
        external_run("crops", "fields@v1", **FIELDS) as run,
    ):
        run.log({"loss": 0.5}, 0)
    assert store.registry.run(run.run_id).status == "failed"


def test_a_model_that_no_adapter_supports_is_a_failed_run(store: Store) -> None:
    with (
        pytest.raises(TrainerError, match="returned a builtins"),
        external_run("crops", "fields@v1", **FIELDS) as run,
    ):
        run.model({"weights": []})
    assert store.registry.run(run.run_id).status == "failed"


def test_a_model_of_another_width_cannot_be_published(store: Store) -> None:
    with pytest.raises(TrainerError), external_run("crops", "fields@v1", **FIELDS) as run:
        run.model(nn.Linear(5, 3))
    assert store.registry.run(run.run_id).status == "failed"


def test_an_interrupted_run_goes_on_with_its_id_and_keeps_its_points(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), external_run("crops", "fields@v1", **FIELDS) as run:
        run.log({"loss": 0.5}, 0)
        raise KeyboardInterrupt
    with external_run("crops", "fields@v1", run_id=run.run_id, **FIELDS) as again:
        again.log({"loss": 0.25}, 1)
        train_tree(again)
    recorded = store.registry.run(run.run_id)
    assert (recorded.status, recorded.attempts, recorded.error) == ("succeeded", 2, None)
    assert store.registry.series(run.run_id) == {"loss": [(0, 0.5), (1, 0.25)]}
    with (
        pytest.raises(Conflict, match="succeeded"),
        external_run("crops", "fields@v1", run_id=run.run_id, **FIELDS),
    ):
        pass
    with (
        pytest.raises(Conflict, match="differs in seed"),
        external_run("crops", "fields@v1", seed=1, run_id=run.run_id, **FIELDS),
    ):
        pass


def test_a_run_that_cannot_start_is_refused_before_anything_is_recorded(store: Store) -> None:
    for declared, data, message in (
        ({}, "fields@v1", "task: Field required"),
        ({"task": "painting"}, "fields@v1", "task"),
        ({"task": "classification", "colour": "red"}, "fields@v1", "colour"),
        ({"task": "classification", "bands": ["ndvi_99"]}, "fields@v1", "ndvi_99"),
        ({"task": "semantic-segmentation"}, "fields@v1", "does not go with"),
    ):
        with (
            pytest.raises(SpecificationError, match=message),
            external_run("crops", data, **declared),
        ):
            pass
    for parameter in (np.float32(1), float("nan"), object()):
        with pytest.raises(SpecificationError, match="parameter 'rate' cannot be recorded"):
            external_run("crops", "fields@v1", {"rate": parameter}, **FIELDS)
    with pytest.raises(NotFound), external_run("crops", "fields@v9", **FIELDS):
        pass
    with (
        pytest.raises(Exception, match="UUID"),
        external_run("crops", "fields@v1", run_id="../x", **FIELDS),
    ):
        pass
    assert store.registry.runs() == []


def test_an_unreachable_dagster_prevents_no_publishing(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "file" / "home"))
    with external_run("crops", "fields@v1", **FIELDS) as run:
        train_tree(run)
    assert only_version(store).stage == "recorded"
    assert run.outcome is not None and "did not record the events" in run.outcome.notes[0]


def test_runs_of_others_are_left_alone_when_abandoned_ones_are_closed(store: Store) -> None:
    with pytest.raises(KeyboardInterrupt), external_run("crops", "fields@v1", **FIELDS) as run:
        with store.registry.transaction("change") as session:
            found = session.get(Run, run.run_id)
            assert found is not None
            found.pid = 2**22 + 1  # no process has this one
        assert close_abandoned_runs(store) == []
        raise KeyboardInterrupt
