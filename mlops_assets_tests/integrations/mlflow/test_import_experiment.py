"""Experiments of a real MLflow server, written with MLflow's own functions, imported."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip(
    "mlflow", reason="needs MLflow's client; run: pip install 'mlops-assets[mlflow]'"
)

import mlflow
import numpy as np
import onnx
from mlflow import MlflowClient
from mlflow.entities import Metric
from onnx import TensorProto, helper
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import NotFound, StorageError
from mlops_assets.integrations.external.recording import specification_for
from mlops_assets.integrations.mlflow.import_experiment import ImportedExperiment, import_experiment
from mlops_assets.integrations.mlflow.mirror import mirror_run, sync
from mlops_assets.integrations.mlflow.read_run import parameter_of, run_id_of
from mlops_assets.models.onnx.session import OnnxModel, decide
from mlops_assets.models.promotion import promote
from mlops_assets.names import Reference
from mlops_assets.paths import Owner, model_folder
from mlops_assets.store import Store
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.example_trainers import (
    lifecycle,
    model_specification,
    require_documents,
)

pytestmark = [pytest.mark.frameworks, pytest.mark.services]
Bring = Callable[..., ImportedExperiment]


@pytest.fixture
def fluent(mlflow_server: str, model: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """MLflow's own way to log, into a new experiment; its name."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        mlflow.set_experiment(model)
        yield model
        mlflow.end_run()


@pytest.fixture
def bring(store: Store, mlflow_server: str, model: str, land_table: Callable[..., Commit]) -> Bring:
    """Import the experiment of the test: `bring(task=…)`."""
    land_table()

    def bring(
        uri: str = mlflow_server, name: str = model, task: str = "classification"
    ) -> ImportedExperiment:
        specification = specification_for(None, name, "fields", {"task": task})
        return import_experiment(
            store, uri, model, Reference("fields", "v1"), specification, Unheard()
        )

    return bring


def classifier(store: Store) -> onnx.ModelProto:
    """A model as scikit-learn's converter writes it.

    Other names than ours, class indices and probabilities.
    """
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v1"))
    X, y = TrainingData(committed, "classification").arrays("train")
    model = LogisticRegression(C=100, max_iter=1000).fit(X, y)
    converted: onnx.ModelProto = to_onnx(
        model, X[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3}
    )
    return converted


def log_onnx(model: onnx.ModelProto, **options: Any) -> None:
    mlflow.onnx.log_model(model, name="model", pip_requirements=["onnx"], **options)


def test_runs_come_with_everything_that_was_logged(
    store: Store, bring: Bring, fluent: str, client: MlflowClient
) -> None:
    with mlflow.start_run(run_name="first try", tags={"campaign": "autumn"}) as run:
        mlflow.log_params(
            {
                "lr": 0.001,
                "epochs": 20,
                "augment": True,
                "kind": "adam",
                "seed": 5,
                "layers": [1, 2],
            }
        )
        points = [
            Metric("val/loss of it", 1 / (step + 1), 1_700_000_000_000 + step, step)
            for step in range(1500)
        ]
        client.log_batch(run.info.run_id, metrics=points[:1000])
        client.log_batch(run.info.run_id, metrics=points[1000:])
        mlflow.log_metric("accuracy", 0.75)
    ended = client.get_run(run.info.run_id).info
    (told,) = bring().runs
    assert (told.outcome, told.points, told.left_out, told.detail) == ("imported", 1501, 0, "")
    here = store.registry.run(told.run_id)
    assert here.parameters == {
        "lr": 0.001,
        "epochs": 20,
        "augment": True,
        "kind": "adam",
        "seed": 5,
        "layers": "[1, 2]",
    }
    assert (here.source, here.status, here.seed, here.model_version) == (
        "mlflow",
        "succeeded",
        5,
        None,
    )
    assert here.created_by == ended.user_id
    assert here.tags.items() >= {"campaign": "autumn", "mlflow.runName": "first try"}.items()
    assert here.tags["mlflow.run_id"] == run.info.run_id
    assert here.tags["mlflow.url"].endswith(run.info.run_id)
    assert round(here.started.timestamp() * 1000) == ended.start_time
    assert here.finished is not None and round(here.finished.timestamp() * 1000) == ended.end_time
    assert here.seconds == (ended.end_time - ended.start_time) / 1000
    assert (here.dataset, here.data_version) == ("fields", "v1")
    assert here.metrics == {"val/loss of it": 1 / 1500, "accuracy": 0.75}
    assert store.registry.series(told.run_id)["val/loss of it"] == [
        (p.step, p.value) for p in points
    ]
    assert store.registry.points(told.run_id)[3][4] == 1_700_000_000.003
    require_documents(store, told.run_id)


def test_a_second_import_changes_nothing_and_takes_up_what_is_new(
    store: Store, bring: Bring, fluent: str, client: MlflowClient, faulty_mlflow: Any
) -> None:
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 1.0, step=0)
        assert [told.outcome for told in bring().runs] == ["imported"]
        assert store.registry.run(run_id_of(run.info.run_id)).status == "running"
        assert store.registry.files(Owner(f"run:{run_id_of(run.info.run_id)}")) == []
        mlflow.log_metric("loss", 0.5, step=1)
    assert [(told.outcome, told.points) for told in bring().runs] == [("updated", 2)]
    assert store.registry.run(run_id_of(run.info.run_id)).status == "succeeded"
    require_documents(store, run_id_of(run.info.run_id))
    assert [told.outcome for told in bring(uri=faulty_mlflow.url).runs] == ["unchanged"]
    assert faulty_mlflow.asked("*get-history*") == []
    assert store.registry.series(run_id_of(run.info.run_id)) == {"loss": [(0, 1.0), (1, 0.5)]}
    assert len(store.registry.runs()) == 1


def test_values_that_are_no_finite_number_are_left_out_and_counted(
    store: Store, bring: Bring, fluent: str, client: MlflowClient
) -> None:
    with mlflow.start_run():
        for step, value in enumerate([1.0, float("nan"), float("inf"), float("-inf"), 0.5]):
            mlflow.log_metric("loss", value, step=step)
        mlflow.log_metric("broken", float("nan"))
    (told,) = bring().runs
    assert (told.points, told.left_out) == (2, 4)
    assert store.registry.series(told.run_id) == {"loss": [(0, 1.0), (4, 0.5)]}
    assert store.registry.run(told.run_id).metrics == {"loss": 0.5}


def test_failed_killed_and_deleted_runs_are_what_they_are(
    store: Store, bring: Bring, fluent: str, client: MlflowClient
) -> None:
    experiment = client.get_experiment_by_name(fluent)
    assert experiment is not None
    for status in ("FAILED", "KILLED"):
        client.set_terminated(client.create_run(experiment.experiment_id).info.run_id, status)
    client.delete_run(client.create_run(experiment.experiment_id).info.run_id)
    found = bring()
    assert [store.registry.run(told.run_id).status for told in found.runs] == ["failed", "canceled"]
    assert found.deleted == 1
    for told in found.runs:
        require_documents(store, told.run_id)


def test_an_onnx_model_becomes_a_model_version_that_gives_the_same(
    store: Store, bring: Bring, fluent: str, client: MlflowClient
) -> None:
    model = classifier(store)
    with mlflow.start_run() as run:
        log_onnx(model, registered_model_name=f"{fluent}_there")
    client.set_registered_model_alias(f"{fluent}_there", "champion", "1")
    found = bring()
    (told,) = found.runs
    row = store.registry.model_version(Reference(fluent, told.model_version))
    assert (row.stage, row.framework, told.detail) == ("recorded", "onnx", "")
    assert row.metrics["accuracy"] > 0.9
    assert store.registry.run(told.run_id).metrics["accuracy"] == row.metrics["accuracy"]
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v1"))
    X, _ = TrainingData(committed, "classification").arrays("test")
    import onnxruntime

    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    label, scores = session.run(None, {"X": X})
    ours = OnnxModel(
        store.workspace.local_path(f"{model_folder(row.model, row.version)}/model.onnx")
    ).predict(X)
    np.testing.assert_allclose(ours["scores"], scores, atol=1e-6)
    np.testing.assert_array_equal(decide(ours), label)
    card = store.workspace.get(f"{model_folder(row.model, row.version)}/model-card.md").decode()
    assert "was not checked" in card and run.info.run_id in card
    ended = client.get_run(run.info.run_id).info.end_time
    finished = store.registry.run(told.run_id).finished
    # not when it was imported
    assert finished is not None and round(finished.timestamp() * 1000) == ended
    (alias,) = found.aliases
    assert (alias.registered_model, alias.alias, alias.model_version) == (
        f"{fluent}_there",
        "champion",
        row.version,
    )
    assert store.registry.aliases(fluent) == {}
    require_documents(store, told.run_id)
    assert [told.outcome for told in bring().runs] == ["unchanged"]
    assert len(store.registry.model_versions(fluent)) == 1
    promote(store, row, [])
    assert sync(store, mlflow.get_tracking_uri())[0][0].outcome == "skipped"


def test_a_model_whose_tensors_lie_beside_it_is_read(
    store: Store, bring: Bring, fluent: str
) -> None:
    weights = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    wide = np.zeros((7, 4096), np.float32)  # larger than what MLflow leaves inside
    wide[:, :7] = np.eye(7)
    nodes = [
        helper.make_node("MatMul", ["rows", "wide"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "weights"], ["out"]),
    ]
    padded = np.concatenate([weights, np.zeros((4089, 3), np.float32)])
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", 7])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["n", 3])],
        [
            onnx.numpy_helper.from_array(wide, "wide"),
            onnx.numpy_helper.from_array(padded, "weights"),
        ],
    )
    with mlflow.start_run():
        log_onnx(
            helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 15)])
        )
    (told,) = bring().runs
    assert told.model_version is not None, told.detail
    row = store.registry.model_version(Reference(fluent, told.model_version))
    X = np.ones((2, 7), np.float32)
    ours = OnnxModel(
        store.workspace.local_path(f"{model_folder(row.model, row.version)}/model.onnx")
    ).predict(X)
    np.testing.assert_allclose(ours["scores"], X @ weights, rtol=1e-5)


# the type of its elements, and its axes: a length, or a name if it is free
Tensor = tuple[int, list[int | str]]


def tensor_model(source: Tensor, output: Tensor, op: str = "Cast") -> onnx.ModelProto:
    node = helper.make_node(op, ["a"], ["b"])
    if op == "Cast":
        node.attribute.append(helper.make_attribute("to", output[0]))
    graph = helper.make_graph(
        [node],
        "g",
        [helper.make_tensor_value_info("a", *source)],
        [helper.make_tensor_value_info("b", *output)],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 15)])


UNFIT: dict[str, tuple[Tensor, Tensor, str]] = {
    "a fixed batch": (
        (TensorProto.FLOAT, [1, 7]),
        (TensorProto.FLOAT, [1, 3]),
        "dynamic batch axis",
    ),
    "another width": (
        (TensorProto.FLOAT, ["n", 9]),
        (TensorProto.FLOAT, ["n", 3]),
        r"is .a. \(\?, 9\); .*, 7\)",
    ),
    "doubles": ((TensorProto.DOUBLE, ["n", 7]), (TensorProto.FLOAT, ["n", 3]), "of double"),
    "too many scores": (
        (TensorProto.FLOAT, ["n", 7]),
        (TensorProto.FLOAT, ["n", 7]),
        r"float output of \(batch, 3",
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_model_that_does_not_fit_leaves_its_run_and_a_reason(
    case: str, store: Store, bring: Bring, fluent: str
) -> None:
    source, output, why = UNFIT[case]
    with mlflow.start_run():
        mlflow.log_metric("loss", 1.0)
        log_onnx(tensor_model(source, output))
    (told,) = bring().runs
    assert told.model_version is None and told.points == 1
    assert re.search(why, told.detail), told.detail
    assert store.registry.run(told.run_id).status == "succeeded"
    assert store.registry.model_versions() == []


def test_a_model_of_mlflow_2_lies_within_its_run(
    store: Store, bring: Bring, fluent: str, client: MlflowClient, tmp_path: Any
) -> None:
    folder = tmp_path / "model"
    mlflow.onnx.save_model(classifier(store), str(folder), pip_requirements=["onnx"])
    with mlflow.start_run() as run:
        mlflow.log_artifacts(str(folder), "classifier")
    history = [{"run_id": run.info.run_id, "artifact_path": "classifier", "flavors": {"onnx": {}}}]
    client.set_tag(run.info.run_id, "mlflow.log-model.history", json.dumps(history))
    (told,) = bring().runs
    assert told.model_version is not None, told.detail
    assert "mlflow.log-model.history" not in store.registry.run(told.run_id).tags


def test_a_mirror_of_ours_is_not_brought_in(
    store: Store, bring: Bring, mlflow_server: str, model: str
) -> None:
    row = lifecycle(store, model_specification(model), recorded=True)
    mirror_run(store, mlflow_server, row.run_id)
    (told,) = bring().runs
    assert (told.outcome, told.run_id) == ("skipped", row.run_id)
    assert [run.source for run in store.registry.runs()] == ["platform"]


def test_an_experiment_that_is_not_there_is_named(
    store: Store, bring: Bring, mlflow_server: str
) -> None:
    with pytest.raises(NotFound, match=r"is not there; there is (.*Default|crops_)"):
        bring()
    with pytest.raises(NotFound, match="v9"):
        import_experiment(
            store,
            mlflow_server,
            "Default",
            Reference("fields", "v9"),
            model_specification(),
            Unheard(),
        )


def test_a_server_that_fails_half_way_leaves_an_import_that_can_be_done_again(
    store: Store, bring: Bring, fluent: str, faulty_mlflow: Any
) -> None:
    model = classifier(store)
    with mlflow.start_run():
        mlflow.log_metric("loss", 1.0)
        log_onnx(model)
    faulty_mlflow.add("*mlflow-artifacts*", status=500, times=1)
    with pytest.raises(StorageError, match="MLflow at"):
        bring(uri=faulty_mlflow.url)
    (told,) = bring(uri=faulty_mlflow.url).runs
    assert (told.outcome, told.points) == ("updated", 1)
    assert store.registry.model_version(Reference(fluent, told.model_version)).stage == "recorded"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("-7", -7),
        ("007", "007"),
        ("1e-3", 0.001),
        ("0.5", 0.5),
        ("1e999", "1e999"),
        ("nan", "nan"),
        ("", ""),
        ("True", True),
        ("None", None),
        ("no", "no"),
        ("2024-01-01", "2024-01-01"),
        ("9" * 40, 1e40),
        ("1_000", "1_000"),
    ],
)
def test_parameters_become_what_they_were(text: str, value: Any) -> None:
    found = parameter_of(text)
    assert found == value and type(found) is type(value)
