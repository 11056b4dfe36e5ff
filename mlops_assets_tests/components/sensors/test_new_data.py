"""The sensors' own code, evaluated as the daemon does."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import dagster as dg
import pytest

from mlops_assets.components.landing_source import LAST_CHANGE
from mlops_assets.components.naming import data_versions
from mlops_assets.components.sensors import new_data
from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.store import Store
from mlops_assets.training.train import train
from mlops_assets_tests.components.daemon import Daemon, LandingDaemon, is_stale
from mlops_assets_tests.components.project import FOREST, definitions, model_specification
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket
from mlops_assets_tests.training.example_trainers import training_request
from resources import StoreResource

SOURCE = dg.AssetKey(["fields", "source"])
AT_ONCE = {"settle_seconds": 0}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    """An instance in memory, as these tests make many small runs in this one process."""
    with dg.DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The sensor's clock, to be moved by hand."""
    now = [time.time()]
    monkeypatch.setattr(new_data, "time", SimpleNamespace(time=lambda: now[0]))
    return now


@pytest.fixture
def folder(store: Store) -> Path:
    """The landing of `fields`, empty."""
    folder = store.workspace.root / "landing" / "fields"
    folder.mkdir(parents=True)
    return folder


def land(folder: Path, name: str = "a.csv", seed: int = 0) -> Path:
    crops_table(60, seed).to_csv(folder / name, index=False)
    return folder / name


def test_a_dataset_watches_its_landing_only_if_its_declaration_says_so(
    instance: dg.DagsterInstance,
) -> None:
    for status in ("running", "stopped"):
        declared = LandingDaemon(table_specification(sensor={"status": status}), instance)
        assert declared.sensor.default_status == dg.DefaultSensorStatus(status.upper())
    assert LandingDaemon(table_specification(), instance).sensor.default_status == (
        dg.DefaultSensorStatus.STOPPED
    )


def test_new_data_is_asked_for_once_after_it_has_settled(
    folder: Path, instance: dg.DagsterInstance, clock: list[float]
) -> None:
    daemon = LandingDaemon(table_specification(sensor={"settle_seconds": 60}), instance)
    assert daemon.tick() == [], "an empty landing asks for nothing"
    assert daemon.reason is not None and "is empty; put training data into it" in daemon.reason
    land(folder)
    assert daemon.tick() == [], "new data has not settled"
    clock[0] += 59
    land(folder, seed=1)
    assert daemon.tick() == [], "it has changed, so it settles again"
    clock[0] += 59
    assert daemon.tick() == []
    assert daemon.reason == "new data, settling for 1 s more"
    clock[0] += 1
    (request,) = daemon.tick()
    assert request.run_key
    clock[0] += 600
    assert daemon.tick() == [], "it was asked for already"
    assert daemon.reason == "the landing has not changed"
    land(folder, "b.csv")
    assert daemon.tick() == []
    clock[0] += 60
    (again,) = daemon.tick()
    assert again.run_key != request.run_key


def test_a_file_that_is_gone_asks_for_a_commit_and_a_landing_that_is_empty_again_does_not(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    land(folder)
    other = land(folder, "b.csv", seed=1)
    daemon = LandingDaemon(table_specification(sensor=AT_ONCE), instance)
    assert daemon.run(*daemon.tick())
    other.unlink()
    assert daemon.run(*daemon.tick())
    assert daemon.versions() == ["v1", "v2"]
    (folder / "a.csv").unlink()
    assert daemon.tick() == []
    assert daemon.reason is not None and "is empty" in daemon.reason


@pytest.mark.services
def test_a_bucket_that_cannot_be_listed_is_reported_and_scanned_again(
    faulty_s3: FaultyBucket, instance: dg.DagsterInstance, store: Store
) -> None:
    source = {"url": f"{faulty_s3.url}/fields", "layout": "table", "table": {"label": "crop"}}
    daemon = LandingDaemon(table_specification(source=source, sensor=AT_ONCE), instance)
    faulty_s3.put("fields/a.csv", crops_table(60).to_csv(index=False).encode())
    for status in (403, 404):
        faulty_s3.faults.add("*list-type=2*", status=status)
        assert daemon.tick() == []
        assert daemon.reason is not None and "could not be listed" in daemon.reason
        faulty_s3.faults.clear()
    (request,) = daemon.tick()
    assert daemon.run(request)
    faulty_s3.faults.add("*list-type=2*", status=403)
    assert daemon.tick() == []
    faulty_s3.faults.clear()
    assert daemon.tick() == [], "what was asked for before the failure is not asked for again"
    assert daemon.reason == "the landing has not changed"
    assert not daemon.landing_is_stale()


def test_a_landing_that_is_away_for_an_hour_is_named_and_then_settles_anew_if_it_changed(
    folder: Path, instance: dg.DagsterInstance, clock: list[float]
) -> None:
    land(folder)
    daemon = LandingDaemon(table_specification(sensor={"settle_seconds": 60}), instance)
    daemon.tick()
    clock[0] += 60
    assert daemon.run(*daemon.tick())
    elsewhere = folder.rename(folder.with_name("unmounted"))
    for _ in range(120):
        clock[0] += 30
        assert daemon.tick() == []
        assert daemon.reason is not None and f"{folder} does not exist" in daemon.reason
    elsewhere.rename(folder)
    assert daemon.tick() == []
    assert daemon.reason == "the landing has not changed"
    folder.rename(elsewhere)
    daemon.tick()
    land(elsewhere, "b.csv", seed=1)
    elsewhere.rename(folder)
    assert daemon.tick() == [], "it may still be arriving"
    clock[0] += 60
    assert daemon.run(*daemon.tick())
    assert daemon.versions() == ["v1", "v2"]


def test_two_datasets_with_one_landing_are_committed_each_by_itself(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    land(folder)
    source = {"url": "landing/fields", "layout": "table", "table": {"label": "plant"}}
    daemons = [
        LandingDaemon(table_specification(sensor=AT_ONCE), instance),
        LandingDaemon(table_specification("plots", source=source, sensor=AT_ONCE), instance),
    ]
    assert [daemon.run(*daemon.tick()) for daemon in daemons] == [True, False]
    assert [daemon.tick() for daemon in daemons] == [[], []]
    assert daemons[0].reason == "the landing has not changed"
    assert daemons[1].reason is not None and "failed: " in daemons[1].reason


@pytest.mark.services
def test_a_bucket_that_is_as_it_once_was_is_committed_again(
    s3: Bucket, instance: dg.DagsterInstance, store: Store, clock: list[float]
) -> None:
    source = {"url": f"{s3.url}/fields", "layout": "table", "table": {"label": "crop"}}
    daemon = LandingDaemon(table_specification(source=source, sensor=AT_ONCE), instance)
    keys, states = [], []
    for seed in (0, 1, 0):
        s3.put("fields/a.csv", crops_table(60, seed).to_csv(index=False).encode())
        (request,) = daemon.tick()
        keys.append(request.run_key)
        states.append(json.loads(daemon.cursor or "")["seen"])
        assert daemon.run(request)
        assert not daemon.landing_is_stale()
        clock[0] += 30
    if states[0] == states[2]:  # a server whose ETag is made of the content
        assert keys[0] != keys[2], "Dagster makes no second run for a run key"
    assert daemon.versions() == ["v1", "v2"]


def test_names_that_cannot_be_committed_are_reported_in_a_bounded_message(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    for number in range(200):
        (folder / f"{number}\n.csv").touch()
    daemon = LandingDaemon(table_specification(sensor=AT_ONCE), instance)
    assert daemon.tick() == []
    assert daemon.reason is not None and "control characters" in daemon.reason
    assert len(daemon.reason) <= 2001


def test_a_cursor_of_the_release_before_is_read(folder: Path, instance: dg.DagsterInstance) -> None:
    land(folder)
    daemon = LandingDaemon(table_specification(sensor={"settle_seconds": 60}), instance)
    daemon.cursor = json.dumps({"seen": "a" * 64, "since": 1000.0, "asked": "a" * 64})
    assert daemon.tick() == []
    assert daemon.reason == "new data, settling for 60 s more"
    assert json.loads(daemon.cursor)["asked"] == "a" * 64


def test_a_failed_commit_is_named_until_the_landing_or_the_declaration_is_corrected(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    land(folder)
    wrong = {"url": "landing/fields", "layout": "table", "table": {"label": "plant"}}
    daemon = LandingDaemon(table_specification(source=wrong, sensor=AT_ONCE), instance)
    (request,) = daemon.tick()
    assert not daemon.run(request)
    (run,) = instance.get_runs()
    for _ in range(2):
        assert daemon.tick() == [], "the same would fail again"
        assert daemon.reason is not None
        assert daemon.reason.startswith(f"run /runs/{run.run_id} failed: ")
        assert "'plant'" in daemon.reason, "the error of the step itself"
        assert "correct the landing or the declaration of fields" in daemon.reason
    corrected = LandingDaemon(table_specification(sensor=AT_ONCE), instance)
    corrected.cursor = daemon.cursor
    (again,) = corrected.tick()
    assert again.run_key
    assert corrected.run(again)
    assert corrected.tick() == []
    assert corrected.reason == "the landing has not changed"
    assert corrected.versions() == ["v1"]


def test_a_failed_commit_is_named_while_a_changed_landing_settles_and_is_committed_by_hand(
    folder: Path, instance: dg.DagsterInstance, clock: list[float]
) -> None:
    (folder / "a.csv").write_text("x,y\n1,2\n")
    daemon = LandingDaemon(table_specification(sensor={"settle_seconds": 60}), instance)
    daemon.tick()
    clock[0] += 60
    assert not daemon.run(*daemon.tick())
    (folder / "a.csv").unlink()
    daemon.tick()
    assert daemon.reason is not None
    assert "is empty; put training data into it; run /runs/" in daemon.reason
    land(folder)
    assert daemon.tick() == []
    assert daemon.reason is not None and "settling for 60 s more; run /runs/" in daemon.reason
    assert daemon.run(), "by hand"
    clock[0] += 59
    daemon.tick()
    assert daemon.reason == "new data, settling for 1 s more"


@pytest.mark.parametrize(
    ("status", "tags", "reported"),
    [
        (dg.DagsterRunStatus.STARTED, {}, "is in progress"),
        (dg.DagsterRunStatus.CANCELED, {}, "was canceled; correct the landing"),
        (dg.DagsterRunStatus.FAILURE, {"dagster/will_retry": "true"}, "will be retried"),
    ],
)
def test_the_run_of_a_commit_is_reported_as_it_is(
    folder: Path,
    instance: dg.DagsterInstance,
    status: dg.DagsterRunStatus,
    tags: dict[str, str],
    reported: str,
) -> None:
    land(folder)
    daemon = LandingDaemon(table_specification(sensor=AT_ONCE), instance)
    daemon.tick()
    job = daemon.definitions.resolve_job_def("fields_landing")
    instance.create_run_for_job(job, tags=tags, status=status)
    daemon.tick()
    assert daemon.reason is not None and reported in daemon.reason


def test_the_cursor_stays_small(folder: Path, instance: dg.DagsterInstance) -> None:
    for number in range(1000):
        (folder / f"{number}.csv").touch()
    daemon = LandingDaemon(table_specification(sensor=AT_ONCE), instance)
    assert len(daemon.tick()) == 1
    assert len(daemon.cursor or "") < 300


def test_the_source_has_the_present_files_and_reveals_a_landing_that_is_out_of_date(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    daemon = LandingDaemon(table_specification(sensor=AT_ONCE), instance)
    file = land(folder)
    assert daemon.run(), "by hand, and never observed"
    assert not daemon.landing_is_stale()
    assert (
        daemon.definitions.resolve_implicit_global_asset_job_def()
        .execute_in_process(instance=instance, asset_selection=[SOURCE])
        .success
    ), "Observe"
    assert not daemon.landing_is_stale(), "nothing has changed since it was committed"
    daemon.tick()
    assert len(daemon.events) == 1, "the first scan of the sensor is reported"
    daemon.tick()
    assert daemon.events == []
    assert not daemon.landing_is_stale()
    other = land(folder, "b.csv", seed=1)
    requests = daemon.tick()
    assert daemon.landing_is_stale()
    (event,) = daemon.events
    assert event.asset_key == SOURCE
    assert {name: value.value for name, value in event.metadata.items()} == {
        "url": folder.as_uri(),
        "files": 2,
        "size": file.stat().st_size + other.stat().st_size,
        LAST_CHANGE: pytest.approx(other.stat().st_mtime, abs=1e-3),
    }
    assert daemon.run(*requests)
    assert not daemon.landing_is_stale()


def test_a_version_is_not_out_of_date_when_another_lands(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    daemon = LandingDaemon(table_specification(sensor=AT_ONCE), instance)
    land(folder)
    assert daemon.run()
    assert dg.materialize(
        [
            asset
            for asset in daemon.definitions.assets or []
            if isinstance(asset, dg.AssetsDefinition)
        ],
        selection=["fields/training_data"],
        partition_key="v1",
        instance=instance,
        resources={"store": StoreResource()},
    ).success
    land(folder, "b.csv", seed=1)
    assert daemon.run()
    assert daemon.versions() == ["v1", "v2"]
    assert not is_stale(daemon.definitions, instance, "fields/training_data", "v1")


def test_a_new_version_asks_for_the_lifecycle_once_and_not_for_what_was_trained_by_hand(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    name = str(data_versions("fields").name)
    daemon = Daemon(definitions(auto_train=True), "crop_forest_new_version", instance)
    assert daemon.tick() == []
    land_table()
    instance.add_dynamic_partitions(name, ["v1"])
    train(store, training_request(model_specification(), "v1", FOREST))
    assert daemon.tick() == []
    instance.add_dynamic_partitions(name, ["v2", "v3"])
    assert [request.partition_key for request in daemon.tick()] == ["v2", "v3"]
    assert daemon.tick() == []


def test_a_version_is_trained_whose_run_was_killed_before_dagster_knew_of_it(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    land_table()
    daemon = Daemon(definitions(auto_train=True), "crop_forest_new_version", instance)
    assert [request.partition_key for request in daemon.tick()] == ["v1"]
    assert daemon.tick() == []


def test_what_was_asked_for_is_kept_only_until_it_is_recorded(
    store: Store, instance: dg.DagsterInstance, land_table: Callable[..., Commit]
) -> None:
    name = str(data_versions("fields").name)
    daemon = Daemon(definitions(auto_train=True), "crop_forest_new_version", instance)
    land_table()
    instance.add_dynamic_partitions(name, ["v1", "v2"])
    daemon.cursor = json.dumps(["v1"])  # as the release before wrote it
    assert [request.partition_key for request in daemon.tick()] == ["v2"]
    train(store, training_request(model_specification(), "v1", FOREST))
    instance.add_dynamic_partitions(name, ["v3"])
    assert [request.partition_key for request in daemon.tick()] == ["v3"]
    recorded = dg.AssetMaterialization(["crop_forest", "record"], partition="v1")
    instance.report_runless_asset_event(recorded)
    assert daemon.tick() == []
    assert json.loads(daemon.cursor or "") == ["v2", "v3"]
