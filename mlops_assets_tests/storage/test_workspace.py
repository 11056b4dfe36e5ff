"""A workspace in a folder: written whole or not at all.

What holds on every store is in `test_workspace_contract`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import obstore
import pytest

from mlops_assets.errors import StorageError
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.workspace import AT_ONCE


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace((tmp_path / "my workspace").as_uri())


@pytest.mark.parametrize("size", [4, AT_ONCE + 1], ids=["short", "long"])
def test_an_object_that_is_there_is_not_written_again(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"s" * size)
    first = workspace.put_object(source)
    monkeypatch.setattr(obstore, "put", lambda *_: pytest.fail("wrote an object that is there"))
    assert workspace.put_object(b"s" * size) == workspace.put_object(source) == first


@pytest.mark.parametrize("damaged", [b"", b"same and more"], ids=["cut", "longer"])
@pytest.mark.parametrize("from_file", [False, True])
def test_an_object_of_the_wrong_size_is_repaired_when_it_is_put_again(
    workspace: Workspace, tmp_path: Path, damaged: bytes, from_file: bool
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"same")
    first = workspace.put_object(b"same")
    workspace.local_path(first.path).write_bytes(damaged)
    assert workspace.put_object(source if from_file else b"same") == first
    assert workspace.get(first.path) == b"same"
    assert list(workspace.list("objects")) == [first.path]


def test_whether_an_object_is_still_there_is_asked_of_a_folder(workspace: Workspace) -> None:
    stat = workspace.put_object(b"same")
    assert workspace.still_has(stat.sha256, 4)
    assert not workspace.still_has(stat.sha256, 5)
    workspace.local_path(stat.path).unlink()
    assert not workspace.still_has(stat.sha256, 4)


def test_a_full_disk_is_reported_and_the_old_content_stays(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.put("a", b"old")

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(obstore, "put", full)
    with pytest.raises(
        StorageError, match=r"a to file://.* could not be written: .*No space left on device; free"
    ):
        workspace.put("a", b"new")
    assert workspace.get("a") == b"old"


def test_a_failed_write_leaves_no_partial_file_behind(workspace: Workspace) -> None:
    workspace.put("a", b"old")
    with pytest.raises(StorageError, match="a/b"):
        workspace.put("a/b", b"a is a file, so this cannot be")
    assert [path.name for path in workspace.root.iterdir()] == ["a"]


def test_a_folder_is_removed_with_its_files_and_no_other(workspace: Workspace) -> None:
    for key in ("parts/a/0/x", "parts/a/y", "parts/ab/z"):
        workspace.put(key, b"x")
    workspace.remove_folder("parts/a")
    workspace.remove_folder("parts/missing")
    assert [path.name for path in (workspace.root / "parts").iterdir()] == ["ab"]
    assert list(workspace.list("parts")) == ["parts/ab/z"]


def test_a_workspace_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="choose another MLOPS_WORKSPACE"):
        Workspace((tmp_path / "file").as_uri())


@pytest.mark.parametrize("url", ["https://host/x", "ftp://host/x", "memory:///x"])
def test_a_workspace_on_what_cannot_be_written_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(StorageError, match="choose a file://, s3://, az:// or gs:// URL"):
        Workspace(url, tmp_path / "cache")


def test_the_cache_lies_in_the_workspace_unless_it_is_given(tmp_path: Path) -> None:
    url = (tmp_path / "w").as_uri()
    assert Workspace(url).cache == tmp_path / "w" / "cache"
    assert Workspace(url, tmp_path / "c").cache == tmp_path / "c"


def test_the_checksum_of_a_file_that_cannot_be_read_names_it(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"could not read .*gone.*; check the file"):
        sha256_of(tmp_path / "gone")
