"""The lock of those who store objects, which they share, and of those who remove some."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from mlops_assets.errors import Conflict, StorageError
from mlops_assets.registry import Registry
from mlops_assets_tests.registry.rows import new_run


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """A registry of each kind."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    opened = Registry(url)
    yield opened
    opened.close()


def elsewhere(action: Callable[[], str]) -> object:
    """Return what an action returns, or raises, in another thread, as in another process."""
    found: list[object] = []

    def act() -> None:
        try:
            found.append(action())
        except Conflict as error:
            found.append(error)

    thread = threading.Thread(target=act)
    thread.start()
    thread.join(30)
    return found[0]


def stored(registry: Registry) -> str:
    with registry.storing():
        return "stored"


def removed(registry: Registry) -> str:
    with registry.removing(timeout=0):
        return "removed"


def test_many_store_objects_at_a_time_and_none_while_some_are_removed(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert elsewhere(lambda: removed(registry)) == "removed"
    with registry.storing():
        with registry.storing():  # as training does, within a commit's step
            assert elsewhere(lambda: stored(registry)) == "stored"
        refused = elsewhere(lambda: removed(registry))
        assert isinstance(refused, Conflict) and "storing objects" in str(refused)
        registry.require_locks()
    monkeypatch.setattr("mlops_assets.registry.locks.LOCK_TIMEOUT_SECONDS", 0.0)
    with registry.removing():
        refused = elsewhere(lambda: stored(registry))
        assert isinstance(refused, Conflict) and "'mlops gc' is removing" in str(refused)
        refused = elsewhere(lambda: removed(registry))
        assert isinstance(refused, Conflict)
    assert stored(registry) == "stored"


def test_what_is_stored_under_a_lock_that_was_lost_is_not_recorded(
    new_database: Callable[[], str],
) -> None:
    registry = Registry(new_database())
    ending = text(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    other = Registry(registry.url)
    with registry.storing():
        with other._engine.connect() as connection:
            connection.execute(ending)
        with pytest.raises(StorageError, match="has lost the lock on objects in use"):
            registry.start_run(new_run())
    with registry.storing():
        registry.start_run(new_run())
    for opened in (registry, other):
        opened.close()
