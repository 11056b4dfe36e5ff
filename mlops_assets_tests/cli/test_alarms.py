"""`mlops alarm sync` and the sensor `issues`, with a tracker on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components.sensors.issues import issues
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.integrations.issue_trackers.tracker_servers import (
    TOKEN,
    GitHubServer,
    TrackerServer,
    serving,
)
from mlops_assets_tests.models.test_promotion import registered
from mlops_assets_tests.registry.rows import failed_rule
from resources import StoreResource


@pytest.fixture
def tracker(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[TrackerServer]:
    registered(store, "v1-a")
    with serving(GitHubServer()) as found:
        (tmp_path / "issues.yaml").write_text(
            f"trackers: [{{name: team, platform: github, url: '{found.url}',"
            " project: earth/crop-maps, token: {variable: TRACKER_TOKEN}}]"
        )
        monkeypatch.setenv("TRACKER_TOKEN", TOKEN)
        monkeypatch.setenv("MLOPS_ISSUES", "issues.yaml")
        yield found


def test_issues_are_brought_up_to_date(store: Store, tracker: TrackerServer, mlops: Mlops) -> None:
    assert mlops("alarm", "list").out == "no alarm yet\n"
    assert mlops("alarm", "sync").out == "every issue is up to date\n"
    store.registry.raise_alarm(failed_rule("v1-a", "2026-11-02"))
    tracker.faults = [(429, {"Retry-After": "60"})]
    refused = mlops("alarm", "sync")
    assert (refused.code, "team asks to wait 60 s" in refused.out) == (1, True)
    assert TOKEN not in refused.out + refused.err
    (opened,) = mlops("alarm", "sync", "--json").json
    assert (opened["change"], opened["url"]) == (
        "opened",
        f"{tracker.url}/earth/crop-maps/issues/1",
    )
    (listed,) = mlops("alarm", "list", "crops", "--json").json
    assert listed["issue"] == opened["url"]
    assert opened["url"] in mlops("alarm", "show", "1").out


def test_the_sensor_follows_alarms_and_waits_as_long_as_it_is_asked_to(
    store: Store, tracker: TrackerServer
) -> None:
    (sensor,) = issues().sensors or ()
    assert isinstance(sensor, dg.SensorDefinition)
    cursor: str | None = None

    def tick() -> str:
        nonlocal cursor
        with dg.build_sensor_context(
            cursor=cursor, resources={"store": StoreResource()}
        ) as context:
            found = sensor.evaluate_tick(context)
        cursor = found.cursor
        return str(found.skip_message)

    alarm = store.registry.raise_alarm(failed_rule("v1-a", "2026-11-02"))
    assert tick() == "1 issue(s) changed, 0 failed"
    assert tick() == "0 issue(s) changed, 0 failed"
    requests = len(tracker.requests)
    store.registry.close_alarm(alarm, "2026-11-03")
    tracker.faults = [(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "9999999999"})]
    assert tick() == "0 issue(s) changed, 1 failed; waiting for team"
    assert tick() == "0 issue(s) changed, 0 failed; waiting for team"
    assert len(tracker.requests) == requests + 1
    cursor = None
    assert tick() == "1 issue(s) changed, 0 failed"
    with store.registry.lock("issues"):
        assert tick() == "another process is synchronising issues"


def test_without_a_declaration_the_setting_is_named(
    store: Store, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLOPS_ISSUES", raising=False)
    assert "MLOPS_ISSUES is not set" in mlops("alarm", "sync").err
    assert not issues().sensors
