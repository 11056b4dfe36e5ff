"""What processes share through the registry: locks and identities of landed files, on SQLite and on PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.errors import Conflict
from mlops_assets.registry import Registry

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
    yield f"sqlite:///{tmp_path / 'registry.db'}" if request.param == "sqlite" else request.getfixturevalue("postgres")
    while _opened:
        _opened.pop().close()


_opened: list[Registry] = []


def _open(url: str) -> Registry:
    _opened.append(Registry(url))
    return _opened[-1]


def test_a_lock_excludes_others_of_its_name_only(url: str) -> None:
    with _open(url).lock("fields"):
        with pytest.raises(Conflict, match="writing fields"), _open(url).lock("fields", timeout=0.05):
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
    registry.remember_landed(landing, [("a.tif", 1, "then", "0" * 64), ("b.tif", 2, "then", "1" * 64)])
    registry.remember_landed(landing, [("a.tif", 3, "now", "2" * 64)])
    registry.remember_landed("file:///elsewhere", [("a.tif", 9, "x", "3" * 64)])
    registry.remember_landed(landing, [])
    assert sorted(registry.landed(landing)) == [("a.tif", 3, "now", "2" * 64), ("b.tif", 2, "then", "1" * 64)]
