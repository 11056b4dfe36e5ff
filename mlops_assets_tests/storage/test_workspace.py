"""Bytes go in and come out whole, once, or with an error that names the key; locks die with their holder."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import obstore
import pytest

from mlops_assets.errors import Conflict, StorageError
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.storage.workspace import object_key

HOLD = """
import sys, time
from mlops_assets.storage import Workspace
with Workspace(sys.argv[1]).lock("fields", timeout=5):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace((tmp_path / "my workspace").as_uri())


@pytest.mark.parametrize("content", [b"", b"abc", bytes(range(256)) * 10_000], ids=["empty", "short", "long"])
@pytest.mark.parametrize("from_file", [False, True])
def test_what_is_put_is_read_back_with_its_checksum(
    workspace: Workspace, tmp_path: Path, content: bytes, from_file: bool
) -> None:
    source = tmp_path / "source.bin"
    source.write_bytes(content)
    stat = workspace.put("a/b c.bin", source if from_file else content)
    assert stat == FileStat("a/b c.bin", hashlib.sha256(content).hexdigest(), len(content))
    assert workspace.get("a/b c.bin") == content
    assert workspace.stat("a/b c.bin") == stat
    assert workspace.exists("a/b c.bin")
    assert workspace.local_path("a/b c.bin").read_bytes() == content


def test_list_gives_every_key_below_a_folder_and_no_neighbour(workspace: Workspace) -> None:
    for key in ("a/1", "a/b/2", "ab/3"):
        workspace.put(key, b"x")
    assert sorted(workspace.list("a")) == sorted(workspace.list("a/")) == ["a/1", "a/b/2"]
    assert sorted(workspace.list("")) == ["a/1", "a/b/2", "ab/3"]
    assert list(workspace.list("nothing")) == []


def test_putting_again_replaces_the_content(workspace: Workspace) -> None:
    workspace.put("a", b"old and longer")
    workspace.put("a", b"new")
    assert workspace.get("a") == b"new"


def test_an_object_is_stored_once_under_its_checksum(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"same")
    first = workspace.put_object(b"same")
    assert first.path == object_key(sha256_of(b"same"))
    monkeypatch.setattr(obstore, "put", lambda *_: pytest.fail("wrote an object that is there"))
    assert workspace.put_object(b"same") == workspace.put_object(source) == first


@pytest.mark.parametrize("damaged", [b"", b"sane", b"same and more"], ids=["cut", "flipped", "longer"])
@pytest.mark.parametrize("from_file", [False, True])
def test_putting_a_damaged_object_again_mends_it(
    workspace: Workspace, tmp_path: Path, damaged: bytes, from_file: bool
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"same")
    first = workspace.put_object(b"same")
    workspace.local_path(first.path).write_bytes(damaged)
    assert workspace.put_object(source if from_file else b"same") == first
    assert workspace.get(first.path) == b"same"
    assert list(workspace.list("objects")) == [first.path]


@pytest.mark.parametrize("read", ["get", "stat", "local_path"])
def test_reading_a_missing_key_names_the_key(workspace: Workspace, read: str) -> None:
    assert not workspace.exists("models/gone.onnx")
    with pytest.raises(StorageError, match=r"models/gone\.onnx is missing"):
        getattr(workspace, read)("models/gone.onnx")


def test_putting_a_file_that_is_not_there_says_so(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="gone"):
        workspace.put("a", tmp_path / "gone")
    assert not workspace.exists("a")


def test_a_full_disk_is_reported_and_the_old_content_stays(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.put("a", b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(obstore, "put", full)
    with pytest.raises(StorageError, match=r"could not write a .*No space left on device"):
        workspace.put("a", b"new")
    assert workspace.get("a") == b"old"


def test_a_failed_write_leaves_no_partial_file_behind(workspace: Workspace) -> None:
    workspace.put("a", b"old")
    with pytest.raises(StorageError, match="a/b"):
        workspace.put("a/b", b"a is a file, so this cannot be")
    assert [path.name for path in workspace.root.iterdir()] == ["a"]


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="choose another MLOPS_WORKSPACE"):
        Workspace((tmp_path / "file").as_uri())


def test_a_file_that_changes_while_stored_is_not_kept_under_the_wrong_checksum(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"first")
    exists = Workspace.exists

    def change(self: Workspace, key: str) -> bool:
        source.write_bytes(b"second")
        return exists(self, key)

    monkeypatch.setattr(Workspace, "exists", change)
    with pytest.raises(StorageError, match="changed"):
        workspace.put_object(source)
    monkeypatch.undo()
    assert workspace.get(workspace.put_object(b"first").path) == b"first"


def test_a_second_holder_of_a_lock_is_told_after_its_timeout(workspace: Workspace) -> None:
    with (
        workspace.lock("fields"),
        pytest.raises(Conflict, match="another process is writing fields"),
        Workspace(workspace.url).lock("fields", timeout=0.05),
    ):
        pytest.fail("two holders")
    with workspace.lock("fields", timeout=0.05):
        pass


def test_locks_of_different_names_do_not_hinder_each_other(workspace: Workspace) -> None:
    with workspace.lock("a"), workspace.lock("b", timeout=0.05):
        pass


def test_a_waiting_holder_gets_the_lock_when_it_is_released(workspace: Workspace) -> None:
    order: list[str] = []
    entered, release = threading.Event(), threading.Event()

    def first() -> None:
        with workspace.lock("a"):
            entered.set()
            release.wait(10)
            order.append("first")

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait(10)
    threading.Timer(0.1, release.set).start()
    with workspace.lock("a", timeout=10):
        order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_the_lock_of_a_killed_process_is_released(workspace: Workspace) -> None:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, workspace.url], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == "held\n"
        with pytest.raises(Conflict), workspace.lock("fields", timeout=0.05):
            pass
    finally:
        holder.kill()
        holder.communicate()
    with workspace.lock("fields", timeout=5):
        pass
