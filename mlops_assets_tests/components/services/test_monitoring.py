"""Days of a service as assets: their events, checks, observations and schedules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components.project.load import project_resources
from mlops_assets.components.services.monitoring_assets import monitoring_assets, service_days
from mlops_assets.monitoring.rules import RULES
from mlops_assets.paths import monitoring_key, requests_key
from mlops_assets.store import Store
from mlops_assets_tests.monitoring.served_days import DAY, log_day, requests, service, versions

JOB = "crops_monitoring"


def project(**changes: object) -> dg.Definitions:
    """A project with the days of a service; `changes` replace its attributes."""
    return dg.Definitions.merge(
        monitoring_assets(service(**changes)),
        dg.Definitions(resources=project_resources(), executor=dg.in_process_executor),
    )


def run(instance: dg.DagsterInstance, day: str = DAY, **changes: object) -> Any:
    """Run the job of a day."""
    return (
        project(**changes)
        .resolve_job_def(JOB)
        .execute_in_process(instance=instance, partition_key=day, raise_on_error=True)
    )


def events(result: Any) -> dict[str, dg.AssetMaterialization]:
    """Asset → its materialisation."""
    found = (event.materialization for event in result.get_asset_materialization_events())
    return {own.asset_key.path[-1]: own for own in found}


def test_a_day_is_a_partition_of_three_assets(
    served_store: Store, instance: dg.DagsterInstance
) -> None:
    store = served_store
    first, _ = versions(store)
    log_day(store, first, requests()[0])
    result = run(instance)
    found = events(result)
    assert list(found) == ["inference_log", "truth", "monitoring"]
    assert {own.partition for own in found.values()} == {DAY}
    assert found["inference_log"].metadata["dagster/row_count"].value == 300
    assert found["truth"].metadata["coverage"].value == 0
    metadata = found["monitoring"].metadata
    assert metadata["model_version"].value == first.version
    assert metadata["data_version"].value == "fields@v1"
    assert metadata["requests"].value == 300
    assert str(metadata["drift"].value).startswith("![Features that have drifted most")
    (file,) = store.registry.files_at(monitoring_key("crops", DAY))
    data_versions = {name: (own.tags or {})["dagster/data_version"] for name, own in found.items()}
    (log,) = store.registry.files_at(requests_key("crops", DAY))
    assert data_versions == {
        "inference_log": log.sha256,
        "truth": "none",
        "monitoring": file.sha256,
    }
    checks = {own.check_name: own for own in result.get_asset_check_evaluations()}
    assert list(checks) == list(RULES)
    assert checks["max_outside"].passed and checks["max_outside"].partition == DAY
    # the page of the model version has it too
    wanted = dg.AssetRecordsFilter(dg.AssetKey(["crops", "record"]), asset_partitions=["v1"])
    (record,) = instance.fetch_observations(wanted, limit=5).records
    observed = record.asset_observation
    assert observed is not None and observed.metadata["day"].value == DAY
    assert observed.metadata["model_version"].value == first.version
    # the same state has the same data version
    again = events(run(instance))["monitoring"]
    assert (again.tags or {})["dagster/data_version"] == file.sha256


def test_a_failed_rule_is_an_error_of_its_check_and_an_alarm_and_no_failed_run(
    served_store: Store, instance: dg.DagsterInstance
) -> None:
    store = served_store
    log_day(store, versions(store)[0], requests()[0] + 3)
    result = run(instance)
    assert result.success
    checks = {own.check_name: own for own in result.get_asset_check_evaluations()}
    failed = checks["max_drift"]
    assert (failed.passed, failed.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert "population stability index of ndvi" in str(failed.description)
    alarms = store.registry.alarms("crops", only_open=True)
    assert "max_drift" in {alarm.rule for alarm in alarms}
    assert "max_drift raised" in str(events(result)["monitoring"].metadata["alarms"].value)


@pytest.mark.usefixtures("served_store")
def test_a_day_without_requests_warns_that_nothing_is_known(instance: dg.DagsterInstance) -> None:
    result = run(instance)
    for check in result.get_asset_check_evaluations():
        assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert "no request was logged" in str(check.description)


def test_a_rule_without_limits_has_no_check() -> None:
    specification = service(monitor={"max_drift": {}, "min_samples": 10})
    keys = [
        key.name
        for own in monitoring_assets(specification).assets or ()
        if isinstance(own, dg.AssetsDefinition)
        for key in own.check_keys
    ]
    assert set(keys) == set(RULES) - {"max_drift"}


def tick(instance: dg.DagsterInstance, name: str, time: str) -> Any:
    """What a schedule requests at a time, UTC."""
    repository = project().get_repository_def()
    with dg.build_schedule_context(
        instance=instance,
        repository_def=repository,
        scheduled_execution_time=datetime.fromisoformat(time).replace(tzinfo=UTC),
        resources=project_resources(),
    ) as context:
        return repository.get_schedule_def(name).evaluate_tick(context)


def test_a_night_monitors_the_day_before_and_days_that_have_changed(
    served_store: Store, instance: dg.DagsterInstance
) -> None:
    store = served_store
    first, _ = versions(store)
    log_day(store, first, requests()[0])
    asked = tick(instance, JOB, "2026-11-03T00:30:00").run_requests
    assert [own.partition_key for own in asked] == [DAY]
    run(instance)
    # a week later, late requests of that day have arrived
    quiet = tick(instance, JOB, "2026-11-09T00:30:00").run_requests
    assert [own.partition_key for own in quiet] == ["2026-11-08"]
    log_day(store, first, requests(10, 7)[0], "late")
    late = tick(instance, JOB, "2026-11-09T00:30:00").run_requests
    assert [own.partition_key for own in late] == [DAY, "2026-11-08"]
    # by another state, so that Dagster launches it again
    assert late[0].run_key != asked[0].run_key


def test_an_hour_compacts_what_is_waiting(
    served_store: Store, instance: dg.DagsterInstance
) -> None:
    name, time = "crops_inference_log", f"{DAY}T11:05:00"
    assert tick(instance, name, time).skip_message == f"no request of {DAY} is waiting"
    log_day(served_store, versions(served_store)[0], requests()[0])
    (asked,) = tick(instance, name, time).run_requests
    assert asked.partition_key == DAY


def test_days_are_in_utc_and_today_is_one() -> None:
    days = service_days(service(start="2026-11-01"))
    keys = days.get_partition_keys(datetime(2026, 11, 3, 23, 59, tzinfo=UTC))
    assert keys == ["2026-11-01", "2026-11-02", "2026-11-03"]
