"""The sensor `<model>_retrain`, evaluated as the daemon does, and what its run brings about."""

from __future__ import annotations

import json
from collections.abc import Callable

import dagster as dg
import pytest

from mlops_assets.components.sensors.retrain import retrain_sensor
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.lineage.alarms import alarm_lineage
from mlops_assets.models.promotion import promote
from mlops_assets.monitoring.alarms import update_alarms
from mlops_assets.monitoring.document import Verdict
from mlops_assets.names import Reference
from mlops_assets.registry import ModelVersion
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops, mlops
from mlops_assets_tests.components.daemon import Daemon
from mlops_assets_tests.components.project import definitions
from mlops_assets_tests.components.test_trained_model import launch
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.monitoring.monitored import monitored, version_day
from mlops_assets_tests.registry.rows import deployment

__all__ = ["mlops"]  # a fixture

BETTER = [{"metric": "accuracy", "not_worse_than": "production"}]


def service(**retrain: object) -> ServiceSpecification:
    declared = {"enabled": True, "days": 2, "of": 3, "cooldown_days": 3} | retrain
    return ServiceSpecification.model_validate(
        {"name": "crop_service", "model": "crop_forest", "retrain": declared}
    )


def daemon(instance: dg.DagsterInstance, **model: object) -> Daemon:
    sensor = retrain_sensor(service(), "crop_forest_lifecycle")
    assert sensor is not None
    own = definitions(**{"gates": BETTER, "auto_promote": True} | model)
    together = dg.Definitions.merge(own, dg.Definitions(sensors=[sensor]))
    return Daemon(together, "crop_forest_retrain", instance)


def day(store: Store, number: int, verdict: Verdict, version: str | None = None) -> None:
    """Monitor a day of the version in production."""
    row = store.registry.model_version(Reference("crop_forest", "production"))
    found = version_day(version or row.version, max_outside=verdict)
    update_alarms(store, monitored(store, f"{number:02}", found, model="crop_forest"))


@pytest.fixture
def store(assessed: Store) -> Store:
    return assessed


@pytest.fixture
def row(store: Store, instance: dg.DagsterInstance) -> ModelVersion:
    """The version in production, trained on v1."""
    defs = definitions(auto_promote=True)
    assert launch(defs, "fields_landing", instance).success
    assert launch(defs, "crop_forest_lifecycle", instance, "v1").success
    return store.registry.model_version(Reference("crop_forest", "production"))


@pytest.mark.slow
def test_a_model_is_retrained_once_for_an_alarm_and_newer_data_through_its_gates(
    store: Store,
    instance: dg.DagsterInstance,
    row: ModelVersion,
    land_table: Callable[..., Commit],
    mlops: Mlops,
) -> None:
    sensor = daemon(instance)
    assert sensor.tick() == []
    assert (
        sensor.reason
        == "no day of crop_forest is monitored yet; run 'mlops monitor run crop_forest'"
    )
    day(store, 2, "failed")
    assert sensor.tick() == []
    assert "has failed on 2 of the last 3 days up to 2026-11-02; max_outside" in str(sensor.reason)
    # a day without monitoring counts as one that has not failed
    day(store, 4, "failed")
    assert sensor.tick() == []
    assert "no data version newer than fields@v1" in str(sensor.reason)
    assert "'mlops dataset commit fields'" in str(sensor.reason)

    land_table(crops_table(1200, seed=1))
    (request,) = sensor.tick()
    (alarm,) = store.registry.alarms("crop_forest")
    assert (request.partition_key, request.tags["mlops/alarm"]) == ("v2", str(alarm.id))
    assert request.run_key == f"crop_forest/alarm-{alarm.id}/fields@v2"
    assert sensor.tick() == [], "it is requested already"
    assert "cool-down until 2026-11-07 after the retraining of 2026-11-04" in str(sensor.reason)
    assert sensor.run(request)
    assert sensor.tick() == []

    new = store.registry.model_version(Reference("crop_forest", "production"))
    assert (new.data_version, new.version != row.version) == ("v2", True)
    (run,) = instance.get_runs(dg.RunsFilter(tags={"mlops/alarm": str(alarm.id)}))
    # the version in use is the new one, which has not failed
    assert "no rule of crop_forest@" in str(sensor.reason)
    day(store, 5, "failed", row.version)
    assert sensor.tick() == []

    store.registry.record_deployment(deployment(new.version, "crop_forest"))
    line = alarm_lineage(store, store.registry.alarm(alarm.id)).line()
    shown = mlops("alarm", "show", str(alarm.id), "--json").json
    assert shown["lineage"] == line
    (trained,) = store.registry.runs("crop_forest", data_version="v2")
    parts = line.split(" → ")
    assert [part.split(" by ")[0] for part in parts[1:]] == [
        f"Dagster run {run.run_id}",
        f"training run {trained.run_id} on fields@v2 (succeeded)",
        f"crop_forest@{new.version}",
        "production",
        "deployed in crop_service (embedded)",
    ]
    assert parts[0].startswith(f"alarm {alarm.id}: max_outside of crop_forest@{row.version} on ")
    assert "sha256" in parts[0]
    (listed,) = mlops("alarm", "list", "--open", "--json").json
    assert listed["retrained_on"] == "v2"
    assert "there is no alarm 9" in mlops("alarm", "show", "9").err


@pytest.mark.slow
def test_a_retrained_version_that_is_worse_stays_out_of_production_and_is_not_tried_again(
    store: Store,
    instance: dg.DagsterInstance,
    row: ModelVersion,
    land_table: Callable[..., Commit],
) -> None:
    sensor = daemon(instance, gates=[{"metric": "accuracy", "min": 1.1}])
    day(store, 2, "failed")
    day(store, 3, "failed")
    land_table(crops_table(400, seed=1))
    (request,) = sensor.tick()
    assert not sensor.run(request)
    for number in (3, 4, 9, 10, 11):
        day(store, number, "failed")
        assert sensor.tick() == []
    production = store.registry.model_version(Reference("crop_forest", "production"))
    assert production.version == row.version
    (alarm,) = store.registry.alarms("crop_forest", only_open=True)
    (run,) = instance.get_runs(dg.RunsFilter(tags={"mlops/alarm": str(alarm.id)}))
    assert (alarm.orchestration_run, alarm.retrained_on) == (run.run_id, "v2")
    assert "was already trained on fields@v2" in str(sensor.reason)
    assert f"run /runs/{run.run_id} failed" in str(sensor.reason)
    # newer data, after the cool-down
    land_table(crops_table(500, seed=2))
    assert [again.partition_key for again in sensor.tick()] == ["v3"]


def test_the_cooldown_holds_back_newer_data(
    store: Store, instance: dg.DagsterInstance, row: ModelVersion, land_table: Callable[..., Commit]
) -> None:
    sensor = daemon(instance)
    day(store, 2, "failed")
    day(store, 3, "failed")
    land_table(crops_table(400, seed=1))
    assert len(sensor.tick()) == 1
    land_table(crops_table(500, seed=2))
    for number, requested in ((4, 0), (5, 0), (6, 1), (7, 0)):
        day(store, number, "failed")
        assert len(sensor.tick()) == requested, number


def test_a_model_that_trains_on_every_version_is_left_to_its_own_sensor(
    store: Store, instance: dg.DagsterInstance, row: ModelVersion, land_table: Callable[..., Commit]
) -> None:
    sensor = daemon(instance, auto_train=True)
    day(store, 2, "failed")
    day(store, 3, "failed")
    land_table(crops_table(400, seed=1))
    assert sensor.tick() == []
    assert "left to the sensor crop_forest_new_version" in str(sensor.reason)
    # its run is that of the alarm
    job = sensor.definitions.resolve_job_def("crop_forest_lifecycle")
    run = instance.create_run_for_job(
        job, tags={"dagster/partition": "v2"}, status=dg.DagsterRunStatus.STARTED
    )
    assert sensor.tick() == []
    assert f"run /runs/{run.run_id} is in progress" in str(sensor.reason)
    (alarm,) = store.registry.alarms("crop_forest")
    assert (alarm.orchestration_run, alarm.retrained_on) == (run.run_id, "v2")


@pytest.mark.slow
def test_failures_of_a_version_that_is_not_in_use_retrain_nothing(
    store: Store, instance: dg.DagsterInstance, row: ModelVersion, land_table: Callable[..., Commit]
) -> None:
    assert launch(definitions(gates=[]), "crop_forest_lifecycle", instance, "v1").success
    land_table(crops_table(400, seed=1))
    sensor = daemon(instance)
    assert launch(definitions(gates=[]), "crop_forest_lifecycle", instance, "v1", n_estimators=7)
    other = store.registry.model_versions("crop_forest")[-1]
    assert other.version != row.version
    for number in (2, 3):
        day(store, number, "failed", other.version)
    assert sensor.tick() == []
    assert f"no rule of crop_forest@{row.version} has failed" in str(sensor.reason)
    promote(store, other, [])
    assert len(sensor.tick()) == 1


def test_without_retrain_there_is_no_sensor_and_without_the_alias_a_reason(
    store: Store, instance: dg.DagsterInstance
) -> None:
    assert retrain_sensor(service(enabled=False), "crop_forest_lifecycle") is None
    sensor = daemon(instance)
    assert sensor.tick() == []
    assert "crop_forest" in str(sensor.reason)
    assert json.loads(sensor.cursor or "null") is None
