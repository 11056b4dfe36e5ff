"""The contract of a workspace, whatever object store it is on."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import object_key, pack_key
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.storage import workspace as workspace_module
from mlops_assets.storage.packs import Pack
from mlops_assets.storage.workspace import AT_ONCE

SPECIAL_KEYS = [
    "a b/c é.bin",
    "a+b&c=d",
    "a#b?c",
    "100%25",
    "日本/語",
    "x/y.z/~tilde",
    "quote'\"quote",
]
# too large to be held in memory, and for one request
LARGE = bytes(range(256)) * (AT_ONCE // 256 + 1)


class WorkspaceContract:
    """The guarantees of the store under a workspace that the platform relies on.

    Subclass it, and override the fixture `workspace`. On a store that keeps objects between runs,
    every test needs a new prefix.
    """

    @pytest.fixture
    def workspace(self, tmp_path: Path) -> Workspace:
        """Return an empty workspace on the store, for one test.

        Args:
            tmp_path: an empty folder of the test, for the local cache of a remote workspace.
        """
        pytest.fail("override the fixture 'workspace': return an empty Workspace on your store")

    @pytest.mark.parametrize("content", [b"", b"abc", LARGE], ids=["empty", "small", "large"])
    def test_content_is_read_back_with_its_checksum(
        self, workspace: Workspace, tmp_path: Path, content: bytes
    ) -> None:
        source = tmp_path / "source.bin"
        source.write_bytes(content)
        contents: dict[str, bytes | Path] = {"a/b c.bin": content, "a/from a file.bin": source}
        for key, given in contents.items():
            stat = workspace.put(key, given)
            assert stat == FileStat(key, hashlib.sha256(content).hexdigest(), len(content))
            assert workspace.get(key) == content
            assert workspace.stat(key) == stat
            assert workspace.exists(key)
            assert workspace.local_path(key).read_bytes() == content
            assert workspace.local_path(key, stat.sha256).read_bytes() == content

    def test_keys_with_special_characters_are_distinct_and_listed_unchanged(
        self,
        workspace: Workspace,
    ) -> None:
        for key in SPECIAL_KEYS:
            workspace.put(key, key.encode())
        assert sorted(workspace.list("")) == sorted(SPECIAL_KEYS)
        for key in SPECIAL_KEYS:
            assert workspace.exists(key)
            assert workspace.get(key) == workspace.local_path(key).read_bytes() == key.encode()

    def test_list_returns_every_key_below_a_folder_and_no_neighbour(
        self, workspace: Workspace
    ) -> None:
        for key in ("a/1", "a/b/2", "ab/3"):
            workspace.put(key, b"x")
        assert sorted(workspace.list("a")) == sorted(workspace.list("a/")) == ["a/1", "a/b/2"]
        assert sorted(workspace.list("")) == ["a/1", "a/b/2", "ab/3"]
        assert list(workspace.list("nothing")) == []

    def test_putting_again_replaces_the_content(self, workspace: Workspace) -> None:
        workspace.put("a", b"old and longer")
        assert workspace.local_path("a").read_bytes() == b"old and longer"
        workspace.put("a", b"new")
        assert workspace.get("a") == workspace.local_path("a").read_bytes() == b"new"

    @pytest.mark.parametrize("content", [b"new", LARGE], ids=["small", "large"])
    def test_moving_replaces_the_content_and_may_be_repeated(
        self, workspace: Workspace, content: bytes
    ) -> None:
        workspace.put("folder/a", b"old and longer")
        workspace.put("staged/b", content)
        for _ in range(2):
            workspace.move("staged/b", "folder/a", sha256_of(content))
            assert workspace.get("folder/a") == content
            assert list(workspace.list("")) == ["folder/a"]

    def test_an_object_that_was_changed_is_named_and_not_returned(
        self, workspace: Workspace
    ) -> None:
        file = workspace.put_object(b"content")
        assert workspace.get_object(file.sha256) == b"content"
        workspace.put(file.path, b"another")
        with pytest.raises(IntegrityError, match=file.path):
            workspace.get_object(file.sha256)

    @pytest.mark.parametrize("content", [b"same", LARGE], ids=["small", "large"])
    def test_an_object_is_stored_once_under_its_checksum(
        self, workspace: Workspace, tmp_path: Path, content: bytes
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(content)
        digest = sha256_of(content)
        assert not workspace.has_object(digest, len(content))
        first = workspace.put_object(content)
        assert first == FileStat(object_key(digest), digest, len(content))
        assert workspace.put_object(content) == workspace.put_object(source) == first
        assert list(workspace.list("objects")) == [first.path]
        assert workspace.has_object(digest, len(content))
        assert not workspace.has_object(digest, len(content) + 1)

    @pytest.mark.parametrize("from_file", [False, True], ids=["bytes", "file"])
    def test_putting_a_damaged_object_anew_repairs_it(
        self, workspace: Workspace, tmp_path: Path, from_file: bool
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(b"same")
        first = workspace.put_object(b"same")
        for damaged in (b"", b"sane", b"same and more"):
            workspace.put(first.path, damaged)
            assert workspace.put_object(source if from_file else b"same", anew=True) == first
            assert workspace.get(first.path) == b"same"
            assert list(workspace.list("objects")) == [first.path]

    def test_objects_of_a_pack_are_read_alone_and_by_anything_that_reads_zip_files(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        contents = [b"first", b"", bytes(range(256)) * 256, b"first"]
        pack = Pack()
        for content in contents:
            pack.add(sha256_of(content), content)
        places = workspace.put_pack(pack)
        key = pack_key(places[sha256_of(b"first")].pack)
        stored = workspace.get(key)
        assert key == pack_key(sha256_of(stored))
        assert list(workspace.list("objects")) == [key]
        with zipfile.ZipFile(workspace.local_path(key)) as file:
            assert file.testzip() is None
            entries = {name: file.read(name) for name in file.namelist()}
        assert entries == {sha256_of(content): content for content in contents}
        for content in contents:
            wanted = (sha256_of(content), len(content), places[sha256_of(content)])
            assert workspace.get_packed(*wanted) == content
            assert workspace.local_object(*wanted).read_bytes() == content

    def test_a_damaged_pack_is_written_anew(self, workspace: Workspace) -> None:
        pack = Pack()
        pack.add(sha256_of(b"content"), b"content")
        key = pack_key(pack.sha256())
        content = bytes(pack.content())
        for damaged in (b"", content[:-1] + b"x"):
            workspace.put(key, damaged)
            places = workspace.put_pack(pack, anew=True)
            assert places == workspace.put_pack(pack)
            assert workspace.get(key) == content
            assert list(workspace.list("objects")) == [key]

    def test_of_a_pack_that_is_cut_off_what_is_left_can_be_read(self, workspace: Workspace) -> None:
        pack = Pack()
        pack.add(sha256_of(b"content"), b"content")
        name, offset = workspace.put_pack(pack)[sha256_of(b"content")]
        workspace.put(pack_key(name), workspace.get(pack_key(name))[: offset + 3])
        assert bytes(workspace.get_pack_range(name, offset, 7)) == b"con"
        assert bytes(workspace.get_pack_range(name, offset + 3, 4)) == b""
        assert bytes(workspace.get_pack_range(name, offset + 100, 4)) == b""
        assert bytes(workspace.get_pack_range(name, offset, 2)) == b"co"

    @pytest.mark.parametrize("fault", ["missing", "cut", "other bytes"])
    def test_a_single_object_takes_the_place_of_one_in_a_damaged_pack(
        self, workspace: Workspace, fault: str
    ) -> None:
        pack = Pack()
        for content in (b"first", b"last"):
            pack.add(sha256_of(content), content)
        wanted = (sha256_of(b"last"), 4, workspace.put_pack(pack)[sha256_of(b"last")])
        key = pack_key(wanted[2].pack)
        if fault == "missing":
            workspace.remove(key)
        else:
            workspace.put(key, b"cut" if fault == "cut" else workspace.get(key)[:-1][::-1])
        for read in (workspace.get_packed, workspace.local_object):
            with pytest.raises((StorageError, IntegrityError), match=key):
                read(*wanted)
        workspace.put_object(b"last")
        assert workspace.get_packed(*wanted) == b"last"
        assert workspace.local_object(*wanted).read_bytes() == b"last"

    def test_reading_a_missing_key_names_the_key(self, workspace: Workspace) -> None:
        assert not workspace.exists("models/gone.onnx")
        for read in (workspace.get, workspace.stat, workspace.local_path):
            with pytest.raises(StorageError, match=r"models/gone\.onnx is missing"):
                read("models/gone.onnx")

    def test_a_missing_key_is_not_found_in_the_cache_of_another(self, workspace: Workspace) -> None:
        stat = workspace.put("here", b"abc")
        assert workspace.local_path("here", stat.sha256).read_bytes() == b"abc"
        with pytest.raises(StorageError, match="gone is missing"):
            workspace.local_path("gone", sha256_of(b"other"))

    def test_putting_a_missing_file_is_an_error_that_names_it(
        self, workspace: Workspace, tmp_path: Path
    ) -> None:
        with pytest.raises(StorageError, match="gone"):
            workspace.put("a", tmp_path / "gone")
        with pytest.raises(StorageError, match="gone"):
            workspace.put_object(tmp_path / "gone")
        assert list(workspace.list("")) == []

    @pytest.mark.parametrize("content", [b"first", LARGE], ids=["small", "large"])
    def test_a_file_that_changes_while_stored_is_not_kept_under_the_wrong_checksum(
        self, workspace: Workspace, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        source = tmp_path / "source"
        source.write_bytes(content)
        hashed = sha256_of

        def change(given: bytes | Path) -> str:
            digest = hashed(given)
            source.write_bytes(b"second" + content[6:])
            return digest

        monkeypatch.setattr(workspace_module, "sha256_of", change)
        try:
            stat = workspace.put_object(source)
        except StorageError as error:
            assert "changed" in str(error)
            assert list(workspace.list("")) == []
        else:
            assert sha256_of(workspace.get(stat.path)) == stat.sha256
            assert stat.path == object_key(stat.sha256)

    def test_the_location_of_a_key_begins_with_that_of_the_workspace(
        self, workspace: Workspace
    ) -> None:
        workspace.put("a/b", b"abc")
        where = workspace.where("a/b")
        assert where.endswith("/a/b")
        assert where.startswith(workspace.url) or Path(where).read_bytes() == b"abc"
