"""Removal of logged requests, of old days and on demand."""

from __future__ import annotations

from datetime import date

import pytest

from mlops_assets.errors import Forbidden, SpecificationError
from mlops_assets.models.verify import verify_all
from mlops_assets.paths import requests_key
from mlops_assets.principals import Principal, Role
from mlops_assets.serving.request_log.client import write_exchanges
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.serving.request_log.day_file import logged_days
from mlops_assets.serving.request_log.read import read_day
from mlops_assets.serving.request_log.retention import delete_request, enforce_retention
from mlops_assets.store import Store
from mlops_assets_tests.serving.request_log.served import (
    DAY,
    MORNING,
    exchange,
    patches,
    publish,
    served,
)

SECRET = "patient-4711"


@pytest.fixture
def logged(store: Store) -> Store:
    """A store with requests of two days, the first of which is compacted."""
    publish(store)
    version = served(store)
    for day in range(2):
        started = MORNING + 86_400 * day
        exchanges = [
            exchange(version, "other", patches(1), started),
            exchange(version, SECRET, patches(2), started + 1),
        ]
        write_exchanges(store, exchanges, "w")
        if day == 0:
            compact_day(store, "crops", DAY)
    return store


def test_a_deleted_request_is_nowhere_and_does_not_come_back(logged: Store) -> None:
    assert delete_request(logged, "crops", SECRET, "asked for by its subject") == 4
    # from a server that has shipped it late
    late = exchange(served(logged), SECRET, patches(2), MORNING + 1)
    write_exchanges(logged, [late], "x")
    compact_day(logged, "crops", DAY)
    for day in logged_days(logged, "crops"):
        (found,) = read_day(logged, "crops", day)
        assert found.requests.tolist() == ["other"]
    secret = SECRET.encode()
    files = [path for path in logged.workspace.root.rglob("*") if path.is_file()]
    assert [path for path in files if secret in path.read_bytes()] == []
    assert delete_request(logged, "crops", SECRET, "again") == 0
    assert verify_all(logged).problems == []


def test_who_has_deleted_a_request_is_logged(logged: Store) -> None:
    ada = logged.acting(Principal("ada", frozenset({Role.OPERATOR})))
    delete_request(ada, "crops", SECRET, "asked for\nby its subject")
    newest = logged.registry.newest_entry()
    assert newest is not None
    entries = "".join(logged.registry.log_texts(1, newest[0]))
    assert f"delete a logged request of crops on {DAY}: asked for by its subject" in entries
    assert '"ada"' in entries


@pytest.mark.parametrize("role", [Role.SCIENTIST, Role.APPROVER])
def test_only_operators_delete_requests(logged: Store, role: Role) -> None:
    eve = logged.acting(Principal("eve", frozenset({role})))
    with pytest.raises(Forbidden, match="operator"):
        delete_request(eve, "crops", SECRET, "curious")


def test_a_deletion_needs_an_id_and_a_reason(logged: Store) -> None:
    for request, reason in (("", "why"), (SECRET, " "), (SECRET, "x" * 1001), (SECRET, "a\0b")):
        with pytest.raises(SpecificationError):
            delete_request(logged, "crops", request, reason)


def test_old_days_are_removed_with_their_segments(logged: Store) -> None:
    assert enforce_retention(logged, "crops", 2, date(2026, 11, 3)) == []
    assert enforce_retention(logged, "crops", 1, date(2026, 11, 3)) == [DAY]
    assert logged_days(logged, "crops") == ["2026-11-03"]
    assert logged.registry.files_at(requests_key("crops", DAY)) == []
    assert read_day(logged, "crops", DAY) == []
    assert enforce_retention(logged, "crops", 1, date(2026, 11, 5)) == ["2026-11-03"]
    assert list(logged.workspace.list("inference")) == []
    assert verify_all(logged).problems == []
