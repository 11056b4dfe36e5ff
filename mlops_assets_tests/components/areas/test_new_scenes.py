"""The sensor `new_scenes` of an area, evaluated as the daemon does."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from mlops_assets.components.naming import MODEL_VERSION
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.components.areas.project import MODEL, definitions, land, promoted
from mlops_assets_tests.components.daemon import Daemon
from mlops_assets_tests.training.example_trainers import lifecycle


@pytest.fixture
def folder(store: Store) -> Path:
    return store.workspace.root / "landing/valley"


def day_before(days: int) -> str:
    return (datetime.now(UTC).date() - timedelta(days=days)).isoformat()


def daemon(instance: dg.DagsterInstance, **changes: Any) -> Daemon:
    return Daemon(definitions(auto_predict=True, **changes), "valley_new_scenes", instance)


def test_days_with_new_or_changed_scenes_are_requested_once(
    store: Store, folder: Path, instance: dg.DagsterInstance
) -> None:
    watcher = daemon(instance)
    assert watcher.tick() == [] and "is not there" in str(watcher.reason)
    land(folder, "west", day_before(5))
    land(folder, "old", day_before(40))
    (request,) = watcher.tick()
    row = store.registry.model_version(Reference("land"))
    assert request.partition_key == day_before(5)
    assert request.tags[MODEL_VERSION] == row.version
    assert watcher.tick() == [] and watcher.reason == "no scene is new"
    # another version comes into production: days that were requested stay as they are
    promoted(store, lifecycle(store, MODEL, recorded=True, depth=2))
    assert watcher.tick() == []
    land(folder, "east", day_before(5), east=320)
    land(folder, "today", day_before(0))
    requests = watcher.tick()
    assert [each.partition_key for each in requests] == [day_before(5), day_before(0)]
    # the cursor was lost, and the runs have what it had
    assert watcher.run(*requests)
    watcher.cursor = None
    assert watcher.tick() == []


def test_days_that_somebody_has_mapped_are_not_requested(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    watcher = daemon(instance)
    land(folder, "west", day_before(5))
    assert watcher.run(dg.RunRequest(partition_key=day_before(5)))
    assert watcher.tick() == []
    # nor is another listing than that of the cursor
    land(folder, "east", day_before(5), east=320)
    assert watcher.run(dg.RunRequest(partition_key=day_before(5)))
    assert watcher.tick() == []
    land(folder, "later", day_before(5), east=640)
    assert [each.partition_key for each in watcher.tick()] == [day_before(5)]


def test_what_prevents_a_listing_or_failed_is_the_reason_of_a_tick(
    folder: Path, instance: dg.DagsterInstance
) -> None:
    watcher = daemon(instance)
    land(folder, "undated", None)
    assert watcher.tick() == []
    assert "without a date of acquisition, so of no day: undated" in str(watcher.reason)
    land(folder, "west", day_before(1)).write_bytes(b"no raster")
    assert not watcher.run(*watcher.tick())
    assert watcher.tick() == []
    assert f"{day_before(1)}: run /runs/" in str(watcher.reason)
    assert "mlops predict valley --date DAY" in str(watcher.reason)
    other = daemon(instance, model="missing")
    assert other.tick() == [] and "missing" in str(other.reason)
