"""`mlops mlflow sync` and `mlops import mlflow` on a real MLflow server, as a person uses them."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier

from mlops_assets.cli.terminal.output import open_store
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


@pytest.fixture
def model() -> str:
    """A name that no other test has taken on the server."""
    return f"crops_{uuid.uuid4().hex[:12]}"


@pytest.mark.frameworks
@pytest.mark.services
def test_sync_mirrors_missing_runs_and_reports_them(
    store: Store,
    mlops: Mlops,
    mlflow_server: str,
    model: str,
    land_table: Callable[..., Commit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLOPS_MLFLOW", mlflow_server)
    assert "no run yet" in mlops("mlflow", "sync").out
    land_table()
    row = lifecycle(store, model_specification(model), recorded=True)
    store.registry.promote(row, [], alias="spring.2025")
    first = mlops("mlflow", "sync", "--json")
    assert [(run["run_id"], run["outcome"]) for run in first.json] == [(row.run_id, "created")]
    assert first.err.strip().endswith(
        "alias spring.2025: MLflow does not accept an alias of this name"
    )
    assert "unchanged" in mlops("mlflow", "sync", model).out
    assert MlflowClient(mlflow_server).get_registered_model(model).name == model


@pytest.mark.frameworks
@pytest.mark.services
def test_an_experiment_is_brought_in_and_brought_up_to_date(
    mlops: Mlops, mlflow_server: str, model: str, land_table: Callable[..., Commit], store: Store
) -> None:
    from mlflow import MlflowClient

    land_table()
    client = MlflowClient(mlflow_server)
    experiment = client.create_experiment(f"{model}/trial of 2024")
    run = client.create_run(experiment).info.run_id
    client.log_metric(run, "loss", 0.5, step=3)
    client.set_terminated(run)
    client.delete_run(client.create_run(experiment).info.run_id)
    command = (
        "import",
        "mlflow",
        f"{model}/trial of 2024",
        "--dataset",
        "fields@v1",
        "--tracking-uri",
        mlflow_server,
    )
    refused = mlops(*command)
    assert (refused.code, "choose another with --model" in refused.err) == (1, True)
    told = mlops(*command, "--model", model, "--json").json
    (imported,) = told["runs"]
    assert {
        "mlflow_run": run,
        "outcome": "imported",
        "points": 1,
        "model_version": None,
    }.items() <= imported.items()
    assert (told["model"], told["data"], told["deleted"], told["aliases"]) == (
        model,
        "fields@v1",
        1,
        [],
    )
    again = mlops(*command, "--model", model).out
    assert "unchanged" in again and "1 run(s) are deleted in MLflow and were skipped" in again
    (listed,) = mlops("run", "list", "--json").json
    assert (listed["run_id"], listed["metrics"]) == (imported["run_id"], {"loss": 0.5})
    assert mlops(*command, "--model", model, "--task", "guessing").code == 2


@pytest.mark.frameworks
@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("mlflow", "sync"), "set MLOPS_MLFLOW"),
        (
            ("import", "mlflow", "x", "--dataset", "fields"),
            "give --tracking-uri, or set MLOPS_MLFLOW",
        ),
    ],
)
def test_without_a_server_the_commands_name_the_missing_setting(
    command: tuple[str, ...], says: str, mlops: Mlops
) -> None:
    found = mlops(*command)
    assert (found.code, says in found.err) == (1, True)


@pytest.mark.frameworks
def test_an_unreachable_server_is_one_line(
    mlops: Mlops, store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    land_table()
    command = (
        "import",
        "mlflow",
        "x",
        "--dataset",
        "fields@v1",
        "--tracking-uri",
        "http://127.0.0.1:9",
        "--quiet",
    )
    found = mlops(*command)
    assert (found.code, found.err.count("\n")) == (1, 1)
    assert found.err.startswith("error: MLflow at http://127.0.0.1:9: ")


@pytest.mark.frameworks
@pytest.mark.services
def test_a_model_of_mlflow_is_promoted_through_the_gates_that_the_project_declares(
    committed: Path,
    mlops: Mlops,
    mlflow_server: str,
    model: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import mlflow

    store = open_store()
    dataset = CommittedDataset.open(store.workspace, store.registry, Reference("samples", "v1"))
    X, y = TrainingData(dataset, "classification").arrays("train")
    forest = RandomForestClassifier(20, random_state=0).fit(X, y)
    proto = to_onnx(
        forest, X[:1], options={"zipmap": False}, target_opset={"": 18, "ai.onnx.ml": 3}
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_server)
        mlflow.set_experiment(model)
        with mlflow.start_run():
            mlflow.onnx.log_model(proto, name="model", pip_requirements=["onnx"])
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
    command = (
        "import",
        "mlflow",
        model,
        "--dataset",
        "samples@v1",
        "--tracking-uri",
        mlflow_server,
        "--model",
        "samples_forest",
    )
    refused = mlops(*command, "--task", "classification")
    assert (refused.code, "is declared in the project: leave out task" in refused.err) == (1, True)
    brought = mlops(*command, "--json")
    assert brought.code == 0, brought.err
    (run,) = brought.json["runs"]
    assert run["detail"] == ""
    promoted = mlops("model", "promote", f"samples_forest@{run['model_version']}")
    assert promoted.code == 0, promoted.err
    shown = mlops("model", "show", "samples_forest@production", "--json").json
    assert (shown["version"], shown["framework"]) == (run["model_version"], "onnx")
    assert mlops("model", "verify", "samples_forest@production").code == 0
    with dg.DagsterInstance.from_config(str(committed / "workspace" / "dagster")) as instance:
        event = instance.get_latest_materialization_event(
            dg.AssetKey(["samples_forest", "evaluation"])
        )
    assert event is not None and event.asset_materialization is not None
    assert event.asset_materialization.metadata["model_version"].value == run["model_version"]
