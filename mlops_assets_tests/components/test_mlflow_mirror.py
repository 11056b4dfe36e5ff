"""The lifecycle of a model beside a real MLflow server, an unreachable one, and none."""

from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from mlops_assets.store import Store
from mlops_assets_tests.components.project import definitions

_MODEL = "crop_forest"


def launch(instance: dg.DagsterInstance, job: str, **changes: Any) -> dg.ExecuteInProcessResult:
    partition = None if job == "fields_landing" else "v1"
    return (
        definitions(**changes)
        .resolve_job_def(job)
        .execute_in_process(instance=instance, partition_key=partition, raise_on_error=False)
    )


def mirrored(result: dg.ExecuteInProcessResult, step: str) -> Any:
    return result.asset_materializations_for_node(f"{_MODEL}__{step}")[-1].metadata["mlflow"].value


@pytest.fixture
def store(assessed: Store) -> Store:
    """`fields`, v1, in a workspace of the test's own."""
    return assessed


@pytest.fixture(autouse=True)
def _landed(store: Store, instance: dg.DagsterInstance) -> None:
    assert launch(instance, "fields_landing").success


@pytest.mark.frameworks
@pytest.mark.services
def test_each_step_mirrors_what_it_has_made(
    store: Store, instance: dg.DagsterInstance, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLOPS_MLFLOW", f"{mlflow_server}/")
    result = launch(instance, f"{_MODEL}_lifecycle", auto_promote=True)
    assert result.success
    (row,) = store.registry.model_versions(_MODEL)
    client = MlflowClient(mlflow_server)
    version = client.get_model_version_by_alias(_MODEL, "production")
    assert version.tags["mlops.version"] == row.version
    run = client.get_run(str(version.run_id))
    assert run.data.tags["mlops.run_id"] == row.run_id
    assert run.data.metrics["test/accuracy"] == row.metrics["accuracy"]
    url = f"{mlflow_server}/#/experiments/{run.info.experiment_id}/runs/{version.run_id}"
    assert (mirrored(result, "trained_model"), mirrored(result, "record")) == (url, url)
    assert mirrored(result, "production") == "aliases are mirrored"
    event = result.asset_materializations_for_node(f"{_MODEL}__trained_model")[-1]
    assert event.metadata["run_id"].value == row.run_id  # and the metadata of the step itself
    client.delete_registered_model(_MODEL)


@pytest.mark.frameworks
@pytest.mark.services
def test_a_run_that_fails_is_mirrored_too(
    store: Store, instance: dg.DagsterInstance, mlflow_server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLOPS_MLFLOW", mlflow_server)
    params = {"estimator": "sklearn.ensemble.RandomForestClassifier", "n_estimators": -5}
    assert not launch(instance, f"{_MODEL}_lifecycle", params=params).success
    (run,) = store.registry.runs(_MODEL)
    client = MlflowClient(mlflow_server)
    experiment = client.get_experiment_by_name(_MODEL)
    assert experiment is not None
    (there,) = client.search_runs(
        [experiment.experiment_id], f"tags.`mlops.run_id` = '{run.run_id}'"
    )
    assert there.info.status == "FAILED"


@pytest.mark.frameworks
def test_an_unreachable_server_stops_nothing(
    store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setenv("MLOPS_MLFLOW", "http://127.0.0.1:9")
    result = launch(instance, f"{_MODEL}_lifecycle", auto_promote=True)
    assert result.success
    assert store.registry.aliases(_MODEL).keys() == {"production"}
    for step in ("trained_model", "record", "production"):
        assert mirrored(result, step).startswith("not mirrored: MLflow at http://127.0.0.1:9: ")
        assert mirrored(result, step).endswith("'mlops mlflow sync' catches up")


def test_without_a_server_there_is_no_metadata_of_mlflow(instance: dg.DagsterInstance) -> None:
    result = launch(instance, f"{_MODEL}_lifecycle")
    assert result.success
    assert (
        "mlflow"
        not in result.asset_materializations_for_node(f"{_MODEL}__trained_model")[-1].metadata
    )
