"""Alarms by monitored days, in any order, and again."""

from __future__ import annotations

import json
from itertools import permutations

import pytest

from mlops_assets.monitoring.alarms import update_alarms
from mlops_assets.monitoring.document import Verdict
from mlops_assets.store import Store
from mlops_assets_tests.models.test_promotion import registered
from mlops_assets_tests.monitoring.monitored import monitored, version_day


@pytest.fixture(autouse=True)
def _versions(store: Store) -> None:
    for version in ("v1-a", "v1-b"):
        registered(store, version)


def update(store: Store, day: str, verdict: Verdict) -> list[str]:
    """What a day with one rule changes."""
    document = monitored(store, day, version_day(max_outside=verdict))
    return [change.change for change in update_alarms(store, document)]


def alarms(store: Store) -> list[tuple[str, str, str | None]]:
    """First, last and recovered day of each alarm, oldest first."""
    found = store.registry.alarms("crops")[::-1]
    days = [(alarm.day, alarm.last_day, alarm.recovered_day) for alarm in found]
    return [tuple(day and day[-2:] for day in each) for each in days]  # type: ignore[misc]


def test_an_alarm_lasts_from_the_first_failure_to_the_first_pass(store: Store) -> None:
    verdicts: list[Verdict] = ["passed", "failed", "unknown", "warned", "failed", "passed"]
    found = [update(store, f"0{day}", verdict) for day, verdict in enumerate(verdicts, 1)]
    assert found == [[], ["raised"], [], [], ["extended"], ["closed"]]
    assert alarms(store) == [("02", "05", "06")]


@pytest.mark.parametrize("order", list(permutations("1234")), ids="".join)
def test_days_in_any_order_leave_the_same_alarm_open(store: Store, order: str) -> None:
    verdicts: dict[str, Verdict] = {"1": "failed", "2": "passed", "3": "failed", "4": "failed"}
    for day in order:
        update(store, f"0{day}", verdicts[day])
    (open_alarm,) = store.registry.alarms("crops", only_open=True)
    assert open_alarm.last_day == "2026-11-04"
    # whether the failure of the first day has an alarm of its own depends on what was known
    closed = [days for days in alarms(store) if days[2]]
    assert closed in ([], [("01", "01", "02")])


def test_a_day_that_is_monitored_again_closes_and_reopens_its_alarm(store: Store) -> None:
    update(store, "02", "failed")
    update(store, "03", "failed")
    assert update(store, "02", "passed") == []
    assert update(store, "03", "passed") == ["closed"]
    assert update(store, "03", "failed") == ["reopened"]
    assert update(store, "03", "failed") == []
    assert alarms(store) == [("02", "03", None)]


def test_a_former_day_neither_reopens_nor_duplicates_an_alarm_that_is_over(store: Store) -> None:
    for day, verdict in (("03", "failed"), ("04", "passed"), ("08", "failed")):
        update(store, day, verdict)  # type: ignore[arg-type]
    assert update(store, "03", "failed") == []
    assert update(store, "02", "failed") == []
    assert alarms(store) == [("03", "03", "04"), ("08", "08", None)]


def test_each_rule_has_its_alarm_for_the_version_that_failed(store: Store) -> None:
    busy = version_day("v1-b", max_outside="passed", max_drift="failed")
    old = version_day("v1-a", max_outside="failed", max_drift="passed")
    update_alarms(store, monitored(store, "02", busy, old))
    found = {alarm.rule: alarm.version for alarm in store.registry.alarms("crops")}
    assert found == {"max_outside": "v1-a", "max_drift": "v1-b"}
    # too few requests of the old version leave the verdict to the busy one
    few = version_day("v1-a", max_outside="unknown", max_drift="unknown")
    update_alarms(store, monitored(store, "03", busy, few))
    assert [alarm.rule for alarm in store.registry.alarms("crops", only_open=True)] == ["max_drift"]


def test_an_alarm_ends_where_another_version_has_taken_over_with_a_warning(store: Store) -> None:
    update(store, "02", "failed")
    assert update(store, "03", "warned") == []
    few = version_day("v1-a", max_outside="unknown")
    other = monitored(store, "04", version_day("v1-b", max_outside="warned"), few)
    assert [change.change for change in update_alarms(store, other)] == ["closed"]
    again = monitored(store, "05", version_day("v1-b", max_outside="failed"))
    (raised,) = update_alarms(store, again)
    assert (raised.change, raised.alarm.version) == ("raised", "v1-b")


def test_webhooks_receive_its_beginning_and_its_end_once(store: Store) -> None:
    store.registry.set_webhooks({"team": ["monitoring.alarm", "monitoring.recovered"]})
    for day, verdict in (("02", "failed"), ("03", "failed"), ("04", "passed"), ("05", "passed")):
        update(store, day, verdict)  # type: ignore[arg-type]
    messages = [json.loads(message.body) for message in store.registry.webhook_messages()]
    assert [message["type"] for message in messages] == ["monitoring.alarm", "monitoring.recovered"]
    (alarm,) = store.registry.alarms("crops")
    assert messages[1]["data"] == {
        "model": "crops",
        "version": "v1-a",
        "dataset": "fields",
        "data_version": "v1",
        "by": "tester",
        "alarm": alarm.id,
        "rule": "max_outside",
        "day": "2026-11-04",
        "first_day": "2026-11-02",
        "text": "max_outside: 31 %, limit 20 %",
    }
