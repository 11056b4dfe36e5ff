"""State that processes share through the registry.

It is locks and identities of landed files, on SQLite and on PostgreSQL.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import text

from mlops_assets.errors import Conflict, StorageError, StorageUnreachable
from mlops_assets.registry import ModelVersion, Registry, engine
from mlops_assets_tests.registry.rows import model_version, new_run
from mlops_assets_tests.servers.postgres import PostgresServer

HOLD = """
import sys
from mlops_assets.registry import Registry
with Registry(sys.argv[1]).lock("fields", timeout=60):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A registry of each kind."""
    yield (
        f"sqlite:///{tmp_path / 'registry.db'}"
        if request.param == "sqlite"
        else request.getfixturevalue("postgres")
    )
    while _opened:
        _opened.pop().close()


_opened: list[Registry] = []


def _open(url: str) -> Registry:
    _opened.append(Registry(url))
    return _opened[-1]


def test_a_lock_excludes_others_of_its_name_only(url: str) -> None:
    with _open(url).lock("fields"):
        with (
            pytest.raises(Conflict, match="writing fields"),
            _open(url).lock("fields", timeout=0.05),
        ):
            pass
        with _open(url).lock("crops", timeout=0.05):
            pass
    with _open(url).lock("fields", timeout=0.05):
        pass


def test_a_lock_waits_until_it_is_free(url: str) -> None:
    release = threading.Event()
    held = threading.Event()

    def hold() -> None:
        with _open(url).lock("fields"):
            held.set()
            release.wait(60)

    thread = threading.Thread(target=hold)
    thread.start()
    assert held.wait(60)
    threading.Timer(0.2, release.set).start()
    with _open(url).lock("fields", timeout=60):
        assert release.is_set()
    thread.join()


def test_a_lock_is_freed_when_its_process_is_killed(url: str) -> None:
    _open(url)  # makes the tables, so that the other process starts quickly
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdin and holder.stdout
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(Conflict), _open(url).lock("fields", timeout=0.05):
        pass
    holder.kill()
    holder.communicate()
    with _open(url).lock("fields", timeout=60):
        pass


def test_a_lock_is_freed_when_its_holder_fails(url: str) -> None:
    with pytest.raises(RuntimeError), _open(url).lock("fields"):
        raise RuntimeError
    with _open(url).lock("fields", timeout=0.05):
        pass


def test_the_newest_word_on_a_landed_file_counts(url: str) -> None:
    registry = _open(url)
    landing = f"file:///{url[:8]}"
    registry.remember_landed(
        landing, [("a.tif", 1, "then", "0" * 64), ("b.tif", 2, "then", "1" * 64)]
    )
    registry.remember_landed(landing, [("a.tif", 3, "now", "2" * 64)])
    registry.remember_landed("file:///elsewhere", [("a.tif", 9, "x", "3" * 64)])
    registry.remember_landed(landing, [])
    assert sorted(registry.landed(landing)) == [
        ("a.tif", 3, "now", "2" * 64),
        ("b.tif", 2, "then", "1" * 64),
    ]


def test_promotions_at_once_leave_one_chain(url: str) -> None:
    registry = _open(url)
    rows = [_model_version(registry, f"v{number}") for number in range(20)]
    registries = [_open(url) for _ in rows]
    ready = threading.Barrier(len(rows))

    def move(row: ModelVersion, own: Registry) -> None:
        ready.wait(60)
        own.promote(row, [])

    with ThreadPoolExecutor(len(rows)) as pool:
        list(pool.map(move, rows, registries))
    history = registry.promotions("crops")
    assert [moved.previous for moved in history] == [
        None,
        *(moved.version for moved in history[:-1]),
    ]
    assert registry.aliases("crops") == {
        "production": history[-1].version,
        "previous": history[-2].version,
    }


def _model_version(registry: Registry, version: str) -> ModelVersion:
    registry.start_run(new_run(f"run-{version}"))
    row = model_version(version, f"run-{version}")
    registry.publish_model_version(row, [])
    return row


@pytest.mark.faults("PostgreSQL stands still")
def test_a_server_that_accepts_and_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(engine, "CONNECT_TIMEOUT_SECONDS", 2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        with pytest.raises(
            StorageUnreachable,
            match=rf"registry postgresql.*{port}.*cannot be opened.*timeout.*; check",
        ):
            Registry(f"postgresql+psycopg://somebody@127.0.0.1:{port}/registry")


@pytest.mark.faults("PostgreSQL stands still")
def test_a_transaction_that_never_ends_is_not_waited_for_for_ever(
    new_database: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_SECONDS", 1)
    url = new_database()
    row = _model_version(_open(url), "v1")
    with _open(url).transaction("hold a lock") as session:
        session.execute(text("LOCK TABLE aliases"))
        with pytest.raises(
            StorageError, match=r"registry postgresql.*lock timeout.*nothing was recorded; check"
        ):
            _open(url).promote(row, [])
    while _opened:
        _opened.pop().close()


@pytest.mark.faults("PostgreSQL is restarted")
def test_a_lock_that_is_lost_with_its_server_ends_the_work_before_it_is_recorded(
    postgres_server: PostgresServer, new_database: Callable[..., str]
) -> None:
    registry = _open(new_database())
    with registry.lock("fields"):
        postgres_server.restart()
        with pytest.raises(StorageError, match=r"lost the lock on fields.*run it again"):
            registry.remember_landed("file:///landing", [("a.tif", 1, "now", "0" * 64)])
    assert list(registry.landed("file:///landing")) == []
    registry.close()
