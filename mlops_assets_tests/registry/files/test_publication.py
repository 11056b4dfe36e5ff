"""Files that replace published ones are published all or none; readers see old or new."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from mlops_assets.errors import IntegrityError
from mlops_assets.models.run_documents import run_documents
from mlops_assets.paths import Owner
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.store import Store
from mlops_assets_tests.registry.log.test_chain import run

KEYS = ("a/one", "a/two", "a/three")


class Killed(BaseException):
    """Stands for the end of the process."""


def publish(store: Store, content: bytes, *keys: str, within: Callable[[], object] = bool) -> None:
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all(dict.fromkeys(keys, content))
        store.registry.add_files(Owner("owner"), publishing.files)
        within()


def contents(store: Store) -> set[bytes]:
    return {read_published(store.workspace, store.registry, key) for key in KEYS[:2]}


@pytest.fixture
def old(store: Store) -> Store:
    """Two files are published; a third is not."""
    publish(store, b"old", *KEYS[:2])
    return store


@pytest.mark.parametrize(
    ("operation", "kept"), [("put", b"old"), ("add_files", b"old"), ("move", b"new")]
)
def test_what_an_interrupted_publication_left_is_old_or_new(
    old: Store, operation: str, kept: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = old.registry if operation == "add_files" else old.workspace
    done = []
    original = getattr(owner, operation)

    def dies_the_second_time(*arguments: object) -> object:
        done.append(1)
        if len(done) == 2 or operation == "add_files":
            raise Killed
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, operation, dies_the_second_time)
        with pytest.raises(Killed):
            publish(old, b"new", *KEYS)
    assert contents(old) == {kept}
    publish(old, b"newest", *KEYS[:2])
    assert contents(old) == {b"newest"}
    assert old.registry.staged() == {} and list(old.workspace.list("staged")) == []


def test_content_that_is_damaged_before_it_is_moved_is_not_used_and_publishing_again_repairs(
    old: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def damage() -> None:
        (staged,) = old.workspace.list("staged")
        old.workspace.put(staged, b"nEw")

    with pytest.raises(
        IntegrityError,
        match=rf"{KEYS[0]} is recorded, but: staged/.* is not as it was published; try",
    ):
        publish(old, b"new", KEYS[0], within=damage)
    assert old.workspace.get(KEYS[0]) == b"old"
    with pytest.raises(IntegrityError, match=KEYS[0]):
        contents(old)
    publish(old, b"new", *KEYS[:2])
    assert contents(old) == {b"new"}
    assert old.registry.staged() == {} and list(old.workspace.list("staged")) == []


def test_a_reader_waits_for_what_is_just_being_published(old: Store) -> None:
    found: list[bytes] = []
    reader = threading.Thread(target=lambda: found.extend(contents(old)))

    def read() -> None:
        reader.start()
        reader.join(0.3)
        assert found == []  # recorded, and not at its place yet

    publish(old, b"new", *KEYS[:2], within=read)
    reader.join(60)
    assert found == [b"new"]


@pytest.mark.parametrize("content", [b"old", b"new"])
def test_publishing_again_repairs_a_file_that_was_changed(old: Store, content: bytes) -> None:
    old.workspace.put(KEYS[0], b"changed")
    with pytest.raises(IntegrityError, match=KEYS[0]):
        contents(old)
    publish(old, content, *KEYS[:2])
    assert contents(old) == {content}


def test_a_file_that_is_new_is_written_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []
    original = Workspace.put

    def counted(self: Workspace, key: str, *rest: Any) -> FileStat:
        written.append(key)
        return original(self, key, *rest)

    monkeypatch.setattr(Workspace, "put", counted)
    publish(store, b"new", *KEYS)
    assert written == [*KEYS, "log/0000000001.json"]


def test_what_is_published_no_more_is_not_moved_to_its_place(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def end(error: str) -> None:
        with publication(store.workspace, store.registry) as publishing:
            publishing.put_all(run_documents(run("r", status="failed", error=error), []))
            store.registry.put_run(run("r", status="failed", error=error), [], publishing.files)

    def dies(*_arguments: object) -> None:
        raise Killed

    end("once")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(store.workspace, "move", dies)
        end("twice")
    assert "runs/r/run.json" in store.registry.staged()
    store.registry.resume_run("r", 0)
    publish(store, b"other", *KEYS[:1])
    assert store.registry.staged() == {} and list(store.workspace.list("staged")) == []
    assert caplog.messages == []
