"""A deployment as an asset: its events, its checks, its sensor, and wrong declarations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from mlops_assets.components.naming import DATA_VERSION, MODEL, MODEL_VERSION, USER
from mlops_assets.components.project.declarations import read_declarations
from mlops_assets.integrations.deployment import server
from mlops_assets.models.promotion import promote, rollback
from mlops_assets.paths import model_folder
from mlops_assets.store import Store
from mlops_assets_tests.components.daemon import Daemon
from mlops_assets_tests.components.services.project import definitions
from mlops_assets_tests.integrations.deployment.conftest import _promoted, store
from mlops_assets_tests.integrations.deployment.service import versions

__all__ = ["_promoted", "store"]
JOB = "land_service_deployment"


@pytest.fixture(autouse=True)
def _nobody_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "WAIT_SECONDS", 0.0)


def run(
    instance: dg.DagsterInstance, config: dict[str, Any] | None = None, **declared: Any
) -> dg.ExecuteInProcessResult:
    ops = {"ops": {"land__deployment": {"config": config}}} if config else None
    job = definitions(**declared).resolve_job_def(JOB)
    return job.execute_in_process(instance=instance, run_config=ops, raise_on_error=False)


def materialized(result: dg.ExecuteInProcessResult) -> tuple[dict[str, Any], dict[str, str]]:
    """Metadata and tags of the one materialisation of a run."""
    assert result.success
    (event,) = result.get_asset_materialization_events()
    found = {name: value.value for name, value in event.materialization.metadata.items()}
    return found, dict(event.materialization.tags or {})


def test_deployment_rollback_and_end_are_materialisations(
    store: Store, instance: dg.DagsterInstance
) -> None:
    older, newer = versions(store)
    first = run(instance, {"reason": "spring", "user": "ann"}, engine="triton")
    metadata, tags = materialized(first)
    sha256 = store.workspace.stat(f"{model_folder('land', newer.version)}/model.onnx").sha256
    assert metadata["model_version"] == newer.version and metadata["sha256"] == sha256
    assert (metadata["action"], metadata["engine"]) == ("deployed", "triton")
    assert (metadata["deployed_by"], metadata["reason"]) == ("ann", "spring")
    assert sha256 in metadata["files"].values() and metadata["folder"]
    assert tags["dagster/data_version"] == f"{sha256}-triton"
    run_tags = instance.get_run_by_id(first.run_id).tags  # type: ignore[union-attr]
    assert (run_tags[MODEL], run_tags[MODEL_VERSION]) == ("land", newer.version)
    assert (run_tags[DATA_VERSION], run_tags[USER]) == (newer.data_version, "ann")

    metadata, _ = materialized(run(instance, {"version": older.version}, engine="triton"))
    assert (metadata["action"], metadata["previous"]) == ("rollback", newer.version)
    metadata, tags = materialized(run(instance, {"undeploy": True}, engine="triton"))
    assert (metadata["action"], metadata["model_version"]) == ("undeployed", older.version)
    assert tags["dagster/data_version"] == "undeployed-triton"
    assert [made.action for made in store.registry.deployments()] == [
        "undeployed",
        "deployed",
        "deployed",
    ]


def test_without_a_server_the_check_served_warns_and_the_deployment_stands(
    store: Store, instance: dg.DagsterInstance
) -> None:
    result = run(instance)
    materialized(result)
    (check,) = result.get_asset_check_evaluations()
    assert (check.check_name, check.passed) == ("served", False)
    assert check.severity == dg.AssetCheckSeverity.WARN
    assert "mlops serve land@production" in str(check.description)


def test_a_move_of_the_alias_is_requested_once_whoever_has_moved_it(
    store: Store, instance: dg.DagsterInstance
) -> None:
    older, newer = versions(store)
    watcher = Daemon(definitions(), "land_service_deploy", instance)
    (request,) = watcher.tick()
    assert request.tags[MODEL_VERSION] == newer.version
    assert watcher.tick() == []
    assert watcher.run(request)
    assert watcher.tick() == [] and "has not moved" in str(watcher.reason)
    # the cursor is lost, as with another DAGSTER_HOME
    watcher.cursor = None
    assert watcher.tick() == []
    # as the commands and the HTTP API move it
    rollback(store, "land", reason="wrong in spring")
    (request,) = watcher.tick()
    assert watcher.run(request)
    (made, *_) = store.registry.deployments()
    assert (made.version, made.details.get("rollback")) == (older.version, "true")
    assert made.reason == f"production moved to {older.version} by tester: wrong in spring"
    # whoever ends the service after a move has settled it
    promote(store, newer, [])
    assert materialized(run(instance, {"undeploy": True}))
    watcher.cursor = None
    assert watcher.tick() == []


def test_a_version_that_somebody_has_chosen_stays_until_the_alias_moves(
    store: Store, instance: dg.DagsterInstance
) -> None:
    older, newer = versions(store)
    materialized(run(instance, {"version": older.version}, engine="triton"))
    watcher = Daemon(definitions(engine="triton"), "land_service_deploy", instance)
    assert watcher.tick() == []
    rollback(store, "land")
    promote(store, newer, [])
    (request,) = watcher.tick()
    assert request.tags[MODEL_VERSION] == newer.version


def test_a_failed_deployment_is_in_the_reason_and_not_requested_again(
    store: Store, instance: dg.DagsterInstance
) -> None:
    inside = str(store.workspace.root / "models")
    watcher = Daemon(definitions(engine="triton", out=inside), "land_service_deploy", instance)
    (request,) = watcher.tick()
    assert not watcher.run(request)
    assert watcher.tick() == []
    assert "inside the workspace" in str(watcher.reason)
    assert "mlops service deploy land_service" in str(watcher.reason)


def test_a_service_without_a_version_waits(store: Store, instance: dg.DagsterInstance) -> None:
    watcher = Daemon(definitions(alias="canary"), "land_service_deploy", instance)
    assert watcher.tick() == [] and "no version of land is 'canary' yet" in str(watcher.reason)
    failed = run(instance, alias="canary")
    failure = failed.failure_data_for_node("land__deployment")
    assert failure and failure.error and failure.error.cause
    assert "has nothing to serve" in failure.error.cause.message


@pytest.mark.parametrize(
    ("changes", "key", "message"),
    [
        ({"engin": "kserve"}, "engin", "did you mean 'engine'"),
        ({"engine": "seldon"}, "attributes", "storage: seldon reads the model from there"),
        ({"engine": "kserve", "storage": "s3://m", "secret": "A b"}, "attributes", "of Kubernetes"),
        ({"url": "http://ann:secret@host"}, "attributes", "is not the URL of a server"),
        ({"log": {"url": "file:///x"}}, "attributes", "log.url"),
        ({"replicas": -1}, "replicas", "greater than or equal to 0"),
    ],
)
def test_a_wrong_declaration_is_refused_with_file_and_line(
    changes: dict[str, Any], key: str, message: str, tmp_path: Path
) -> None:
    attributes = {"name": "land_service", "model": "land", **changes}
    document = {"type": "mlops_assets.components.ModelService", "attributes": attributes}
    (tmp_path / "defs.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    (problem,) = read_declarations(tmp_path).problems
    assert f"{tmp_path}/defs.yaml:" in problem.text and key in problem.text
    assert message in problem.text and "secret@" not in problem.text


def test_a_model_has_one_service(tmp_path: Path) -> None:
    kind = "mlops_assets.components.ModelService"
    documents = [
        {"type": kind, "attributes": {"name": name, "model": "land"}} for name in ("one", "two")
    ]
    (tmp_path / "defs.yaml").write_text(yaml.safe_dump_all(documents, sort_keys=False))
    (problem,) = read_declarations(tmp_path).problems
    assert "'land' has a service at" in problem.text and len(problem.places) == 2


def test_a_service_that_retrains_needs_a_model_that_is_declared_well(tmp_path: Path) -> None:
    service = {"name": "one", "model": "land", "retrain": {"enabled": True}}
    kind = "mlops_assets.components.ModelService"
    path = tmp_path / "defs.yaml"
    path.write_text(yaml.safe_dump({"type": kind, "attributes": service}))
    (problem,) = read_declarations(tmp_path).problems
    assert "no TrainedModel is called 'land'" in problem.text
    model = {"name": "land", "dataset": "none", "task": "classification"}
    model["trainer"] = "mlops_assets.training.trainers.sklearn:train"
    wrong = {"type": "mlops_assets.components.TrainedModel", "attributes": model}
    path.write_text(yaml.safe_dump_all([wrong, {"type": kind, "attributes": service}]))
    declared = read_declarations(tmp_path)
    assert "its model land is declared wrongly" in declared.left_out[path, 1]
