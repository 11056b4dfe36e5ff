"""Two releases on one registry: the older one writes no more, also if it runs since before."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, select, text, update

from mlops_assets import __version__
from mlops_assets.errors import ReleaseRefused
from mlops_assets.registry import Registry
from mlops_assets.registry.migrations import writers
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.schema import Meta, SchemaRevision


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty registry of each kind in turn."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    new_database: Callable[[], str] = request.getfixturevalue("new_database")
    return new_database()


def _upgraded(url: str) -> None:
    """Do what a newer release does: it changes the schema."""
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(update(SchemaRevision).values(version_num="9999"))
    engine.dispose()


def _append(registry: Registry) -> None:
    with registry.transaction("tag"):
        pass


def test_a_process_from_before_an_upgrade_reads_and_writes_no_more(url: str) -> None:
    registry = Registry(url)
    _append(registry)
    _upgraded(url)
    with pytest.raises(ReleaseRefused, match=r"has schema 9999, .*nothing was recorded; end this"):
        # not tried for ten minutes
        patiently(lambda: _append(registry))
    assert registry.names() == ([], [])
    registry.close()


@pytest.mark.parametrize(
    ("newest", "ours", "may_write"),
    [
        ("0.1.0", "0.1.3", True),
        ("0.1.3", "0.1.0", True),  # releases of one line write alike
        ("0.2.0", "0.1.9", False),
        ("1.0", "0.10.0", False),
        ("0.9.0", "0.10.0", True),
    ],
)
def test_the_newest_line_of_releases_that_has_written_is_the_only_one_that_may(
    newest: str, ours: str, may_write: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    for release in (newest, ours):
        monkeypatch.setattr(writers, "__version__", release)
        if release == ours and not may_write:
            with pytest.raises(ReleaseRefused, match=f"by release {newest}, and this is {ours}"):
                _append(registry)
        else:
            _append(registry)
    with registry.snapshot() as connection:
        found = connection.scalar(select(Meta.value).where(Meta.key == writers.WRITER))
    assert writers.line_of(str(found)) == max(map(writers.line_of, (newest, ours)))
    registry.close()


def test_a_registry_from_before_writers_were_recorded_gets_one(url: str) -> None:
    registry = Registry(url)
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("DELETE FROM meta WHERE key = 'writer'"))
    _append(registry)
    with engine.connect() as connection:
        assert writers.newest_writer(connection) == __version__
    engine.dispose()
    registry.close()


@pytest.mark.services
def test_an_upgrade_waits_for_writers_and_they_for_it(new_database: Callable[[], str]) -> None:
    url = new_database()
    registry = Registry(url)
    engine = create_engine(url)
    finished = threading.Event()

    def upgrade() -> None:
        with engine.begin() as connection:
            connection.execute(text(f"SELECT pg_advisory_xact_lock({writers.LOCK})"))
            connection.execute(update(SchemaRevision).values(version_num="9999"))
        finished.set()

    with registry.transaction("tag"):
        upgrading = threading.Thread(target=upgrade)
        upgrading.start()
        _until_waiting(engine)
        assert not finished.is_set()
    upgrading.join(timeout=60)
    assert finished.is_set()
    with pytest.raises(ReleaseRefused):
        _append(registry)
    engine.dispose()
    registry.close()


def _until_waiting(engine: Engine) -> None:
    query = text("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
    while True:
        with engine.connect() as connection:
            if connection.scalar(query):
                return
