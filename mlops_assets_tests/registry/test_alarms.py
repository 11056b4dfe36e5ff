"""Alarms: one for each rule of a model from its first failure until it passes."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.errors import Forbidden, NotFound
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import Registry
from mlops_assets_tests.registry.rows import (
    data_version,
    deployment,
    failed_rule,
    model_version,
    new_run,
)


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """A registry with one model version."""
    found = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    found.publish_data_version(data_version(), [])
    found.start_run(new_run())
    found.publish_model_version(model_version("v1-1", "run-1"), [])
    return found


def test_an_alarm_lasts_until_its_rule_passes(registry: Registry) -> None:
    first = registry.raise_alarm(failed_rule("v1-1", "2026-11-02"))
    again = registry.raise_alarm(failed_rule("v1-1", "2026-11-03", text="still so"))
    assert (again.id, again.day, again.last_day, again.text) == (
        first.id,
        "2026-11-02",
        "2026-11-03",
        "still so",
    )
    registry.close_alarm(again, "2026-11-04")
    assert registry.alarms("crops", only_open=True) == []
    third = registry.raise_alarm(failed_rule("v1-1", "2026-11-06"))
    assert [alarm.id for alarm in registry.alarms("crops")] == [third.id, first.id]


def test_a_day_that_is_monitored_again_has_the_same_alarm(registry: Registry) -> None:
    first = registry.raise_alarm(failed_rule("v1-1", "2026-11-02"))
    registry.close_alarm(first, "2026-11-02")
    again = registry.raise_alarm(failed_rule("v1-1", "2026-11-02"))
    assert (again.id, again.recovered_day) == (first.id, None)


def test_an_approver_deploys_and_only_what_there_is(registry: Registry) -> None:
    registry.record_deployment(deployment("v1-1"))
    with pytest.raises(NotFound, match="crops@v1-9"):
        registry.record_deployment(deployment("v1-9"))
    scientist = registry.acting(Principal("eve", frozenset({Role.SCIENTIST})))
    with pytest.raises(Forbidden, match="approver"):
        scientist.record_deployment(deployment("v1-1"))
    assert [made.version for made in registry.deployments("crops", limit=5)] == ["v1-1"]
