"""Days of an area, mapped by the steps of the asset graph."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any

import dagster as dg
import pytest
from dagster._core.execution.api import execute_run_iterator

from mlops_assets.components.areas.prediction_area import days_of
from mlops_assets.components.areas.steps import planned
from mlops_assets.components.naming import MODEL_VERSION
from mlops_assets.names import Reference
from mlops_assets.prediction import predict
from mlops_assets.prediction.areas.day import day_job
from mlops_assets.prediction.maps.made import MadeMap
from mlops_assets.prediction.maps.publish import publish_map
from mlops_assets.registry import Map
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.stac.maps.document import read_document
from mlops_assets.store import Store
from mlops_assets_tests.components.areas.project import (
    MODEL,
    area,
    definitions,
    land,
    promoted,
    valley_job,
)
from mlops_assets_tests.training.example_trainers import lifecycle

DAY = "2026-06-01"


def run(
    instance: dg.DagsterInstance, day: str = DAY, job: str = "valley_prediction", **options: Any
) -> dg.ExecuteInProcessResult:
    changes = options.pop("declared", {})
    options.setdefault("raise_on_error", False)
    found = definitions(**changes).resolve_job_def(job)
    return found.execute_in_process(instance=instance, partition_key=day, **options)


def test_a_day_is_one_map_of_all_its_scenes_by_the_version_in_production(
    store: Store, instance: dg.DagsterInstance
) -> None:
    folder = store.workspace.root / "landing/valley"
    land(folder, "west", DAY)
    land(folder, "east", DAY, east=320, seed=1)
    land(folder, "later", "2026-06-03")
    result = run(instance)
    assert result.success
    prediction, record = result.get_asset_materialization_events()
    row = store.registry.model_version(Reference("land"))
    (made,) = store.registry.maps(MapFilter(area="valley", day=DAY))
    assert (made.name, made.version) == (f"valley/{DAY}", row.version)
    metadata = prediction.materialization.metadata
    assert metadata["scenes"].value == 2
    assert metadata["model_version"].value == row.version
    assert str(metadata["picture"].value).startswith("![valley/2026-06-01](data:image/png;base64,")
    tags = prediction.materialization.tags or {}
    assert tags["dagster/data_version"] == f"land@{row.version}-{made.input_digest}"
    assert tags["mlops/in_production"] == "true"
    assert (prediction.partition, record.partition) == (DAY, DAY)
    run_tags = instance.get_run_by_id(result.run_id).tags  # type: ignore[union-attr]
    assert run_tags[MODEL_VERSION] == row.version
    # the page of the model version has it too
    observed = instance.fetch_observations(
        dg.AssetRecordsFilter(dg.AssetKey(["land", "record"]), asset_partitions=["v1"]), limit=5
    ).records
    (seen,) = (entry.asset_observation for entry in observed)
    assert seen is not None and seen.metadata["map"].value == made.name


def test_a_run_keeps_the_version_that_it_was_launched_for(
    store: Store, instance: dg.DagsterInstance
) -> None:
    land(store.workspace.root / "landing/valley", "west", DAY)
    first = store.registry.model_version(Reference("land"))
    promoted(store, lifecycle(store, MODEL, recorded=True, depth=2))
    result = run(instance, tags={MODEL_VERSION: first.version})
    prediction, _ = result.get_asset_materialization_events()
    assert prediction.materialization.metadata["model_version"].value == first.version
    # and the map states that it is of another version than that in production
    assert (prediction.materialization.tags or {})["mlops/in_production"] == "false"
    # a map that is there already is recorded as that of the run, not as the newest one
    assert run(instance).success
    _, record = run(
        instance, tags={MODEL_VERSION: first.version}
    ).get_asset_materialization_events()
    assert record.materialization.metadata["model_version"].value == first.version


def test_a_broken_scene_is_skipped_and_named_or_fails_the_day(
    store: Store, instance: dg.DagsterInstance
) -> None:
    folder = store.workspace.root / "landing/valley"
    land(folder, "west", DAY)
    land(folder, "east", DAY, east=320).write_bytes(b"no raster")
    prediction, _ = run(instance).get_asset_materialization_events()
    metadata = prediction.materialization.metadata
    assert metadata["scene_names"].value == ["west"]
    assert "east" in str(metadata["skipped_scenes"].value)
    failed = run(instance, run_config=plan_config(on_broken="fail"))
    assert not failed.success
    assert not failed.get_asset_materialization_events()


@pytest.mark.parametrize(("executor", "opened"), [("in_process", 2), ("multiprocess", 5)])
def test_parts_of_a_scene_are_one_step_in_one_process(
    store: Store, monkeypatch: pytest.MonkeyPatch, executor: str, opened: int
) -> None:
    tops = {"east": (0, 8, 16, 24), "west": (0,)}
    for name in tops:
        land(store.workspace.root / "landing/valley", name, DAY, east=320 * (name == "east"))
    monkeypatch.setenv("MLOPS_EXECUTOR", executor)
    monkeypatch.setattr(predict, "part_tops", lambda _, scene: tops[scene.name])
    row = store.registry.model_version(Reference("land"))
    job = day_job(store, area(), row, date.fromisoformat(DAY))
    _, *steps = planned(store, [job])
    assert len(steps) == opened
    parts = [part for step in steps for part in step.value["parts"]]
    assert [part["first"] for part in parts] == [0, 8, 16, 24, 0]


def plan_config(**options: Any) -> dict[str, Any]:
    """The run config of a day of the area `valley`."""
    ops = {"valley__plan": {"config": options}}
    return {"ops": {"valley__prediction": {"ops": ops}}}


def test_files_without_a_date_are_of_the_day_only_if_they_are_named(
    store: Store, instance: dg.DagsterInstance
) -> None:
    scene = land(store.workspace.root / "landing/valley", "west", None)
    failure = run(instance).failure_data_for_node("valley__prediction.valley__plan")
    assert failure is not None and failure.error is not None
    assert "files whose day is unknown: west" in str(failure.error.cause)
    result = run(instance, run_config=plan_config(sources=[str(scene)], outputs=["confidence"]))
    assert result.success
    (made,) = store.registry.maps(MapFilter(area="valley", day=DAY))
    files = list(store.workspace.list(f"predictions/land/{made.version}/valley"))
    assert f"predictions/land/{made.version}/valley/{DAY}.scores.tif" in files
    # a day with other scenes names them all the same
    land(store.workspace.root / "landing/valley", "dated", DAY)
    prediction, _ = run(instance).get_asset_materialization_events()
    notes = str(prediction.materialization.metadata["notes"].value)
    assert "files whose day is unknown are in no map: west" in notes


def test_a_run_from_failure_continues_with_what_was_predicted(
    store: Store, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(store.workspace.root / "landing/valley", "west", DAY)

    def fails(*_: object) -> None:
        raise RuntimeError("power cut")

    job, tags = dg.reconstructable(valley_job), {"dagster/partition": DAY}
    with monkeypatch.context() as broken:
        broken.setattr("mlops_assets.prediction.predict.finish_map", fails)
        with dg.execute_job(job, instance=instance, tags=tags) as failed:
            assert not failed.success
    assert list(store.workspace.list("steps"))
    first = store.registry.model_version(Reference("land"))
    promoted(store, lifecycle(store, MODEL, recorded=True, depth=2))
    options = dg.ReexecutionOptions.from_failure(failed.run_id, instance)
    with dg.execute_job(job, instance=instance, tags=tags, reexecution_options=options) as again:
        assert again.success
        steps = {event.step_key for event in again.all_events if event.is_step_success}
    assert steps == {"valley__prediction.valley__publish", "valley__record"}
    assert not list(store.workspace.list("steps"))
    # by the version of the run that was interrupted
    (made,) = store.registry.maps(MapFilter(area="valley", day=DAY))
    assert made.version == first.version


def test_a_killed_run_from_failure_predicts_parts_that_it_had_not_started(
    store: Store, instance: dg.DagsterInstance
) -> None:
    folder = store.workspace.root / "landing/valley"
    for number, name in enumerate(("a", "b", "c")):
        land(folder, name, DAY, east=320 * number)
    job, tags = dg.reconstructable(valley_job), {"dagster/partition": DAY}
    # as a process that is killed, this one leaves no events of the steps that it had not started
    killed = instance.create_run_for_job(valley_job(), tags=tags)
    events = execute_run_iterator(job, killed, instance)
    assert any(event.is_step_start and "[0_1_0]" in str(event.step_key) for event in events)
    instance.report_run_failed(killed)
    options = dg.ReexecutionOptions.from_failure(killed.run_id, instance)
    with dg.execute_job(job, instance=instance, tags=tags, reexecution_options=options) as again:
        assert again.success
    (made,) = store.registry.maps(MapFilter(area="valley", day=DAY))
    assert [scene.name for scene in read_document(store, made).scenes] == ["a", "b", "c"]
    # Dagster's generators cannot be closed half-way
    assert list(events)


@pytest.mark.parametrize(
    ("outside", "passed", "severity"),
    [(None, False, "WARN"), (0.3, False, "ERROR"), (0.1, True, "ERROR")],
)
def test_the_record_is_checked_for_the_share_outside(
    outside: float | None,
    passed: bool,
    severity: str,
    store: Store,
    instance: dg.DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    land(store.workspace.root / "landing/valley", "west", DAY)

    def with_share(opened: Store, made: MadeMap) -> Map:
        return publish_map(opened, replace(made, outside=outside))

    monkeypatch.setattr(predict, "publish_map", with_share)
    result = run(instance, declared={"max_outside": 0.2})
    assert result.success
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity.value) == (passed, severity)


def test_days_are_those_of_the_source_with_today() -> None:
    interval = {"url": "landing/valley", "datetime": "2026-03-01/2026-03-31"}
    assert days_of(area(source=interval, start="2026-03-01")).get_partition_keys()[-1] == (
        "2026-03-31"
    )
    today = datetime.now(UTC).date().isoformat()
    assert days_of(area()).get_partition_keys()[-1] == today
