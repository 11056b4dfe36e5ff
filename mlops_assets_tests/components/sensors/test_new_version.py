"""The sensors `new_version` of datasets and models, evaluated as the daemon does."""

from __future__ import annotations

from collections.abc import Callable

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    RegisteredCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus

from mlops_assets.components.naming import data_versions
from mlops_assets.components.sensors import new_version
from mlops_assets.components.sensors.run_reports import latest_runs
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.components.daemon import Daemon
from mlops_assets_tests.components.project import FOREST, definitions, model_specification
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.training.example_trainers import training_request

REPORT = [dg.AssetKey(["fields", name]) for name in ("training_data", "record")]
REFUSES = "mlops_assets_tests.training.process.supervised:behave"


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(new_version, "AT_HAND_SECONDS", 0.0)


def of_dataset(instance: dg.DagsterInstance, **model: object) -> Daemon:
    return Daemon(definitions(**model), "fields_new_version", instance)


def of_model(instance: dg.DagsterInstance, **model: object) -> Daemon:
    return Daemon(definitions(auto_train=True, **model), "crop_forest_new_version", instance)


def partitions(requests: list[dg.RunRequest]) -> list[str | None]:
    return [request.partition_key for request in requests]


def test_a_version_committed_outside_of_dagster_gets_its_report_and_record_once(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    daemon = of_dataset(instance)
    assert daemon.tick() == []
    land_table()
    requests = daemon.tick()
    assert partitions(requests) == ["v1"]
    assert daemon.tick() == [], "it is requested already"
    assert daemon.run(*requests)
    assert [instance.get_materialized_partitions(key) for key in REPORT] == [{"v1"}, {"v1"}]
    daemon.cursor = None
    assert daemon.tick() == [], "it has them"
    assert daemon.reason == "no new version of fields"


def test_a_version_is_left_to_the_command_that_commits_and_assesses_it(
    store: Store,
    instance: dg.DagsterInstance,
    land_table: Callable[..., Commit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(new_version, "AT_HAND_SECONDS", 600.0)
    land_table()
    daemon = of_dataset(instance)
    assert daemon.tick() == []
    assert daemon.reason == "v1: just committed"


def test_a_version_is_left_to_a_model_that_is_to_train_on_it(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    land_table()
    daemon = of_dataset(instance, auto_train=True)
    assert daemon.tick() == []
    assert daemon.reason == "v1: left to the lifecycle of crop_forest"
    train(store, training_request(model_specification(), "v1", FOREST))
    assert partitions(daemon.tick()) == ["v1"], "trained by hand, it has no lifecycle to come"


def test_a_model_whose_sensor_was_switched_off_assesses_nothing(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    land_table()
    daemon = of_dataset(instance, auto_train=True)
    repository = daemon.definitions.get_repository_def().name
    origin = RemoteRepositoryOrigin(RegisteredCodeLocationOrigin("mlops_assets"), repository)
    instance.add_instigator_state(
        InstigatorState(
            RemoteInstigatorOrigin(origin, "crop_forest_new_version"),
            InstigatorType.SENSOR,
            InstigatorStatus.STOPPED,
        )
    )
    assert partitions(daemon.tick()) == ["v1"]


def test_a_lifecycle_that_has_begun_is_not_doubled_and_its_failed_check_is_named(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    land_table()
    dataset = of_dataset(instance)
    job = dataset.definitions.resolve_job_def("crop_forest_lifecycle")
    run = instance.create_run_for_job(
        job, tags={"dagster/partition": "v1"}, status=dg.DagsterRunStatus.STARTED
    )
    assert dataset.tick() == []
    assert dataset.reason == f"v1: run /runs/{run.run_id} is in progress"
    instance.report_engine_event("Run execution process was terminated by signal 9.", run)
    instance.report_run_failed(run)
    dataset.tick()
    assert dataset.reason is not None
    assert dataset.reason.startswith(
        f"v1: run /runs/{run.run_id} failed: Run execution process was terminated by signal 9.; "
    )


def test_a_failed_check_stops_training_and_both_sensors_name_it(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    land_table()
    model = of_model(instance)
    (request,) = model.tick()
    for stored in (store.workspace.root / "objects").rglob("*"):
        if stored.is_file():
            stored.chmod(0o644)
            stored.write_text("damaged")
    assert not model.run(request)
    (run,) = instance.get_runs()
    for daemon in (model, of_dataset(instance, auto_train=True)):
        assert daemon.tick() == []
        assert daemon.reason is not None
        assert daemon.reason.startswith(f"v1: run /runs/{run.run_id} failed: fields/training_data:")
        assert "check 'readable' failed" in daemon.reason
    assert store.registry.runs() == [], "nothing was trained"


def test_a_failed_training_is_named_until_another_succeeds_and_is_not_requested_again(
    assessed: Store, instance: dg.DagsterInstance
) -> None:
    fails = of_model(instance, trainer=REFUSES, params={"does": "refuse"}, gates=[])
    (request,) = fails.tick()
    assert not fails.run(request)
    (run,) = instance.get_runs()
    for cursor in (fails.cursor, None):
        fails.cursor = cursor
        assert fails.tick() == []
        assert fails.reason is not None
        assert fails.reason.startswith(f"v1: run /runs/{run.run_id} failed: ")
        assert "these fields are fallow" in fails.reason
        assert "run 'mlops train crop_forest@VERSION'" in fails.reason
    corrected = of_model(instance)
    corrected.cursor = fails.cursor
    assert corrected.tick() == []
    assert corrected.run(request), "launched again"
    assert corrected.tick() == []
    assert corrected.reason == "no new version of fields"


def test_versions_that_came_while_the_daemon_was_off_are_each_requested_once_in_order(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    for seed in range(12):
        land_table(crops_table(40, seed))
    expected = [f"v{number}" for number in range(1, 13)]
    for daemon in (of_model(instance), of_dataset(instance)):
        requests = daemon.tick()
        assert partitions(requests) == expected
        assert len({request.run_key for request in requests}) == 12
        assert daemon.tick() == []
    assert instance.get_dynamic_partitions(str(data_versions("fields").name)) == expected


def test_many_failures_are_counted_and_the_newest_are_named(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    for seed in range(6):
        land_table(crops_table(40, seed))
    daemon = of_model(instance)
    job = daemon.definitions.resolve_job_def("crop_forest_lifecycle")
    for request in daemon.tick():
        tags = {"dagster/partition": str(request.partition_key)}
        run = instance.create_run_for_job(job, tags=tags, status=dg.DagsterRunStatus.STARTED)
        instance.report_run_failed(run)
    assert daemon.tick() == []
    assert daemon.reason is not None
    assert daemon.reason.startswith(f"v6: run /runs/{run.run_id} failed: ")
    assert "also failed: v3, v2, v1; correct the cause" in daemon.reason


def test_a_tick_asks_dagster_as_often_for_many_versions_as_for_one(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    asset = dg.AssetKey(["crop_forest", "record"])
    names = [f"v{number}" for number in range(1, 21)]
    instance.add_dynamic_partitions("fields_versions", names)
    job = definitions().resolve_job_def("crop_forest_lifecycle")
    runs = {
        name: instance.create_run_for_job(job, tags={"dagster/partition": name})
        for name in names[:3]
    }
    instance.delete_run(runs["v3"].run_id)
    again = instance.create_run_for_job(job, tags={"dagster/partition": "v2"})
    monkeypatch.setattr(type(instance), "get_run_by_id", pytest.fail)
    monkeypatch.setattr(type(instance), "get_latest_planned_materialization_info", pytest.fail)
    found = latest_runs(instance, asset, names)
    assert {name: run.run_id for name, run in found.items()} == {
        "v1": runs["v1"].run_id,
        "v2": again.run_id,
    }
    assert latest_runs(instance, asset, []) == {}
