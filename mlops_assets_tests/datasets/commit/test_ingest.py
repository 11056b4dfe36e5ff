"""Committing again does what is new and no more.

What interrupts it loses, doubles or half publishes nothing.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mlops_assets.datasets.commit import commit as commit_module
from mlops_assets.datasets.commit import ingest
from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.sources import folder as folder_landing
from mlops_assets.datasets.sources.base import LandedFile
from mlops_assets.datasets.sources.folder import FolderLanding
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import object_key
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.datasets.readers.landing import await_tick

COUNT = 24
FREEZE = """
import json, sys, time
from pathlib import Path
from mlops_assets.datasets.commit import ingest
from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.sources import folder
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace

folder.CLOCK_SECONDS = -3600.0
ingest.THREADS, ingest._BATCH = 1, 4
url, specification, pause = sys.argv[1], json.loads(sys.argv[2]), float(sys.argv[3])
workspace = Workspace(url, pack_below=0)
registry = Registry(f"sqlite:///{workspace.root / 'registry.db'}")
remember = Registry.remember_landed

def slowly(self, *args):
    remember(self, *args)
    print("stored", flush=True)
    time.sleep(pause)

Registry.remember_landed = slowly
print("ready", flush=True)
sys.stdin.readline()
found = commit(workspace, registry, DatasetSpecification.model_validate(specification))
print("committed", found.version.version, found.created, found.version.digest, flush=True)
"""


def declared(name: str = "tiles", landing: str = "tiles") -> DatasetSpecification:
    return DatasetSpecification.model_validate(
        {
            "name": name,
            "source": {"url": f"landing/{landing}", "layout": "image_folder"},
            "split": {"fractions": {"train": 0.5, "test": 0.5}},
        }
    )


def array(number: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.full((1, 4, 4), number, dtype=np.int32))
    return buffer.getvalue()


def path_of(number: int) -> str:
    return f"{('land', 'water')[number % 2]}/{number:02d}.npy"


@pytest.fixture
def landing(store: Store) -> Path:
    folder = store.workspace.root / "landing" / "tiles"
    for number in range(COUNT):
        (folder / path_of(number)).parent.mkdir(parents=True, exist_ok=True)
        (folder / path_of(number)).write_bytes(array(number))
    return folder


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that lies in a landing has lain there for long."""
    monkeypatch.setattr(folder_landing, "CLOCK_SECONDS", -3600.0)


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The landed files that were opened, in order."""
    paths: list[str] = []
    fetch = FolderLanding.fetch

    def fetched(self: FolderLanding, file: LandedFile, folder: Path) -> Path:
        paths.append(file.path)
        return fetch(self, file, folder)

    monkeypatch.setattr(FolderLanding, "fetch", fetched)
    return paths


def again(
    store: Store, specification: DatasetSpecification | None = None, rehash: bool = False
) -> Commit:
    return commit(store.workspace, store.registry, specification or declared(), rehash=rehash)


def latest(store: Store) -> CommittedDataset:
    return CommittedDataset.open(store.workspace, store.registry, Reference("tiles"))


# known files


@pytest.mark.usefixtures("settled")
def test_only_new_files_are_opened(store: Store, landing: Path, opened: list[str]) -> None:
    again(store)
    assert set(opened) == {path_of(number) for number in range(COUNT)}
    opened.clear()
    assert not again(store).created
    assert set(opened) <= {path_of(0)}  # one file gives the names of the bands
    (landing / path_of(COUNT)).write_bytes(array(COUNT))
    (landing / path_of(3)).write_bytes(array(99))
    (landing / path_of(4)).unlink()
    opened.clear()
    assert again(store).version.version == "v2"
    assert set(opened) <= {path_of(0), path_of(3), path_of(COUNT)}
    manifest = latest(store).manifest.set_index("path")["sha256"]
    assert manifest.to_dict() == {
        path.relative_to(landing).as_posix(): sha256_of(path) for path in landing.rglob("*.npy")
    }


@pytest.mark.usefixtures("settled")
def test_a_file_whose_size_and_time_were_put_back_is_noticed(store: Store, landing: Path) -> None:
    again(store)
    path = landing / path_of(5)
    stat = path.stat()
    await_tick(path)
    path.write_bytes(array(77))
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
    assert again(store).version.version == "v2"
    assert latest(store).local_path(path_of(5)).read_bytes() == array(77)


def test_a_file_that_was_written_just_now_is_not_remembered(
    store: Store, landing: Path, opened: list[str]
) -> None:
    again(store)
    assert list(store.registry.landed(landing.as_uri())) == []
    opened.clear()
    assert not again(store).created
    assert len(set(opened)) == COUNT


def test_a_file_is_remembered_once_it_is_older_than_the_clock_is_fine(
    store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = max(landing.rglob("*.npy"), key=lambda path: path.stat().st_ctime_ns)
    await_tick(last)
    earlier = last.stat().st_ctime_ns
    (landing / path_of(0)).write_bytes(array(50))
    between = (earlier + (landing / path_of(0)).stat().st_mtime_ns) / 2e9
    monkeypatch.setattr(
        commit_module, "time", SimpleNamespace(time=lambda: between + folder_landing.CLOCK_SECONDS)
    )
    again(store)
    known = {path for path, *_ in store.registry.landed(landing.as_uri())}
    assert known == {path_of(number) for number in range(1, COUNT)}


@pytest.mark.usefixtures("settled")
def test_a_touched_file_is_read_again_and_makes_no_version(
    store: Store, landing: Path, opened: list[str]
) -> None:
    again(store)
    os.utime(landing / path_of(7))
    opened.clear()
    assert not again(store).created
    assert path_of(7) in opened


@pytest.mark.usefixtures("settled")
def test_a_renamed_file_shares_its_object(store: Store, landing: Path, opened: list[str]) -> None:
    again(store)
    before = sorted(store.workspace.list("objects"))
    (landing / path_of(7)).rename(landing / "water" / "renamed.npy")
    opened.clear()
    assert again(store).version.version == "v2"
    assert set(opened) <= {path_of(0), "water/renamed.npy"}
    assert sorted(store.workspace.list("objects")) == before


@pytest.mark.usefixtures("settled")
def test_a_renamed_image_keeps_its_split_and_a_copy_goes_where_its_original_is(
    store: Store, landing: Path
) -> None:
    again(store)
    first = latest(store).samples.set_index("path")["split"]
    for number in range(COUNT):
        path = landing / path_of(number)
        path.with_name(f"copy of {path.name}").write_bytes(path.read_bytes())
        path.rename(path.with_name(f"new {path.name}"))
    again(store)
    second = latest(store).samples.set_index("path")["split"]
    for key, split in first.items():
        folder, _, name = str(key).partition("/")
        assert second[f"{folder}/new {name}"] == second[f"{folder}/copy of {name}"] == split


@pytest.mark.usefixtures("settled")
def test_a_file_that_changed_places_with_another_is_noticed(store: Store, landing: Path) -> None:
    again(store)
    first, second, aside = landing / path_of(1), landing / path_of(3), landing / ".aside"
    first.rename(aside)
    second.rename(first)
    aside.rename(second)
    assert again(store).version.version == "v2"
    assert latest(store).local_path(path_of(1)).read_bytes() == array(3)


@pytest.mark.usefixtures("settled")
def test_a_file_that_went_and_came_back_gives_the_first_version_again(
    store: Store, landing: Path
) -> None:
    first = again(store).version
    content = (landing / path_of(7)).read_bytes()
    (landing / path_of(7)).unlink()
    assert again(store).version.version == "v2"
    (landing / path_of(7)).write_bytes(content)
    assert again(store).version.digest == first.digest


@pytest.mark.usefixtures("settled")
def test_other_reading_options_make_every_file_be_read_again(
    store: Store, landing: Path, opened: list[str]
) -> None:
    again(store)
    opened.clear()
    source = declared().source.model_dump() | {"image_folder": {"date": "%Y"}}
    changed = DatasetSpecification.model_validate(declared().model_dump() | {"source": source})
    assert again(store, changed).version.version == "v2"
    assert set(opened) == {path_of(number) for number in range(COUNT)}


# objects


@pytest.mark.usefixtures("settled")
def test_bytes_are_stored_once_across_files_versions_and_datasets(
    store: Store, landing: Path
) -> None:
    (landing / path_of(9)).write_bytes(array(1))  # the same as another file
    again(store)
    assert len(list(store.workspace.list("objects"))) == COUNT - 1
    (landing / path_of(11)).unlink()
    assert again(store).version.version == "v2"
    assert again(store, declared("others")).version.version == "v1"
    assert len(list(store.workspace.list("objects"))) == COUNT - 1


@pytest.mark.usefixtures("settled")
def test_an_object_that_is_gone_or_cut_is_stored_again(store: Store, landing: Path) -> None:
    again(store)
    gone, cut = (
        store.workspace.local_path(object_key(sha256_of(landing / path_of(number))))
        for number in (5, 6)
    )
    gone.unlink()
    cut.write_bytes(b"")
    assert not again(store).created
    assert gone.read_bytes() == array(5)
    assert cut.read_bytes() == array(6)


@pytest.mark.usefixtures("settled")
def test_a_damaged_object_of_the_right_size_is_repaired_by_rehash(
    store: Store, landing: Path
) -> None:
    again(store)
    damaged = store.workspace.local_path(object_key(sha256_of(landing / path_of(5))))
    damaged.write_bytes(damaged.read_bytes()[::-1])
    assert not again(store).created
    with pytest.raises(IntegrityError, match=r"05\.npy of tiles@v1\) is not as it was published"):
        latest(store).local_path(path_of(5))
    assert not again(store, rehash=True).created
    assert latest(store).local_path(path_of(5)).read_bytes() == array(5)


# changes meanwhile


def write_and_put_time_back(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.write_bytes(array(66)),
        lambda path: path.unlink(),
        lambda path: write_and_put_time_back(path, array(66)),
    ],
    ids=["written", "removed", "written, time put back"],
)
@pytest.mark.parametrize("moment", ["after", "before"])
@pytest.mark.usefixtures("settled")
def test_a_file_that_changes_while_it_is_committed_publishes_nothing(
    store: Store,
    landing: Path,
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[Path], object],
    moment: str,
) -> None:
    changed = landing / path_of(8)
    read_one = ingest._Reader._read
    await_tick(changed)

    def change_meanwhile(self: ingest._Reader, number: int) -> object:
        path = self._files[number].path
        if path == path_of(8) and moment == "before":
            change(changed)
        read = read_one(self, number)
        if path == path_of(8) and moment == "after":
            change(changed)
        return read

    with monkeypatch.context() as patch:
        patch.setattr(ingest._Reader, "_read", change_meanwhile)
        with pytest.raises(StorageError, match=r"08\.npy"):
            again(store)
    assert store.registry.data_versions() == []
    assert list(store.workspace.list("datasets")) == []
    again(store)
    manifest = latest(store).manifest.set_index("path")["sha256"]
    assert manifest.to_dict() == {
        path.relative_to(landing).as_posix(): sha256_of(path) for path in landing.rglob("*.npy")
    }
    for path in manifest.index:
        assert latest(store).local_path(path).read_bytes() == (landing / path).read_bytes()


# other processes


@pytest.fixture
def start_committing(store: Store, landing: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a process that commits on request, and rests `pause` seconds after every four files."""
    started: list[subprocess.Popen[str]] = []

    def start(pause: float = 0.0) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            "-c",
            FREEZE,
            store.workspace.url,
            declared().model_dump_json(),
            str(pause),
        ]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def go(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


@pytest.mark.usefixtures("settled")
def test_a_killed_commit_is_resumed_without_reading_what_it_stored(
    store: Store,
    landing: Path,
    start_committing: Callable[..., subprocess.Popen[str]],
    opened: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    process = start_committing(pause=600)
    go(process)
    assert process.stdout is not None and process.stdout.readline() == "stored\n"
    process.kill()
    process.wait()
    assert store.registry.data_versions() == []
    done = {path for path, *_ in store.registry.landed(landing.as_uri())}
    assert len(done) == 4
    hashed: list[str] = []
    store_one = ingest._store

    def counted(landed: Landed, file: LandedFile, anew: bool) -> str:
        hashed.append(file.path)
        return store_one(landed, file, anew)

    monkeypatch.setattr(ingest, "_store", counted)
    found = again(Store(Workspace(store.workspace.url, pack_below=0), store.registry))
    assert (found.version.version, found.created) == ("v1", True)
    assert set(hashed) == {path_of(number) for number in range(COUNT)} - done
    assert sorted(store.workspace.list("datasets")) == [
        file.path for file in store.registry.files()
    ]
    assert [path.name for path in store.workspace.cache.glob("*.scratch")] == []


@pytest.mark.usefixtures("settled")
def test_of_two_processes_that_commit_at_once_one_makes_the_version_and_both_get_it(
    store: Store, start_committing: Callable[..., subprocess.Popen[str]]
) -> None:
    processes = [start_committing(pause=0.05), start_committing(pause=0.05)]
    for process in processes:
        go(process)
    outputs = [process.communicate()[0].splitlines()[-1].split() for process in processes]
    assert [words[:2] for words in outputs] == [["committed", "v1"]] * 2
    assert sorted(words[2] for words in outputs) == ["False", "True"]
    (row,) = store.registry.data_versions()
    assert {words[3] for words in outputs} == {row.digest}
    assert sorted(store.workspace.list("datasets")) == [
        file.path for file in store.registry.files()
    ]


@pytest.mark.usefixtures("settled")
def test_threads_that_commit_different_datasets_of_one_landing_do_not_hinder_each_other(
    store: Store, landing: Path
) -> None:
    found: list[str] = []

    def commit_it(name: str) -> None:
        registry = Registry(store.registry.url)
        committed = commit(Workspace(store.workspace.url), registry, declared(name))
        found.append(f"{name} {committed.version.version}")

    threads = [threading.Thread(target=commit_it, args=(name,)) for name in ("one", "two", "three")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["one v1", "three v1", "two v1"]
    assert len(list(store.workspace.list("objects"))) == COUNT
