"""The decoded cache holds what the files hold, whoever writes it.

It never serves a damaged or half-written array.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.readers import LAYOUTS
from mlops_assets.datasets.recall.verify import verify
from mlops_assets.datasets.versions import checked_array
from mlops_assets.datasets.versions import decoded_cache as cache
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.decoded_cache import (
    FORMAT,
    LABELS,
    MARKER,
    SAMPLES,
    Decoded,
    chunks,
    decoded,
    split_folder,
)
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.datasets.views import VIEWS, committed, land, opened, training_data

SPLITS: tuple[Any, ...] = ("train", "validation", "test")


def read_anew(data: TrainingData, split: Any) -> tuple[Any, Any]:
    """A split as its files give it, sample by sample, without the cache."""
    samples = data.committed.split(split)
    X, y = data._read(samples)
    return X, y


@pytest.mark.parametrize("view", VIEWS)
def test_a_memory_map_is_what_the_files_hold_in_the_order_of_the_split(
    store: Store, view: str
) -> None:
    data = training_data(store, view)
    for split in SPLITS:
        X, y = data.memmap(split)
        expected, labels = read_anew(data, split)
        assert len(X) == len(data.committed.split(split))
        np.testing.assert_array_equal(X, expected)
        np.testing.assert_array_equal(y, labels)
        in_memory = data.arrays(split)
        np.testing.assert_array_equal(X, in_memory[0])
        np.testing.assert_array_equal(y, in_memory[1])
        assert in_memory[0].dtype == np.float32
        assert in_memory[1].dtype == (np.float64 if view == "numbers" else np.int64)
    assert len(data.committed.split("train")) > 10


@pytest.mark.parametrize(
    ("view", "dtype"),
    [("row", "float32"), ("pixel", "uint16"), ("window", "uint16"), ("image", "uint16")],
)
def test_the_cache_has_the_datas_own_type_and_is_read_only(
    store: Store, view: str, dtype: str
) -> None:
    data = training_data(store, view)
    X, y = data.memmap("train")
    assert isinstance(X, np.memmap) and X.dtype == dtype
    if view == "window":
        assert isinstance(y, np.memmap) and y.dtype == np.int8
    with pytest.raises(ValueError, match="read-only"):
        X[0] = 0
    folder = split_folder(data.committed, "train", data.view)
    assert (
        folder.parent
        == data.committed.workspace.cache / "decoded" / f"{data.digest}-{view}-{FORMAT}"
    )
    assert all(not path.stat().st_mode & 0o222 for path in folder.glob("*.npy"))


def test_rows_of_interleaved_files_are_where_the_split_has_them(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = committed(store, "row")
    shuffled = dataset.samples.sample(frac=1, random_state=0)
    mixed = CommittedDataset(
        dataset.workspace, dataset.row, dataset.document, dataset.manifest, shuffled
    )
    reads: list[str] = []
    original = cache.read_samples

    def counted(committed: CommittedDataset, path: str, *rest: Any) -> NDArray[np.generic]:
        reads.append(path)
        return original(committed, path, *rest)

    monkeypatch.setattr(cache, "read_samples", counted)
    data = opened(mixed, "row")
    X, y = data.memmap("train")
    assert mixed.split("train")["path"].nunique() == 2
    # a table is read once, whatever the order of its rows
    assert sorted(reads) == [
        "0.csv",
        "1.csv",
    ]
    expected, labels = read_anew(data, "train")
    np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(y, labels)


def test_a_type_that_grows_wide_enough_for_every_file(store: Store) -> None:
    dataset = committed(store, "image")
    layout = LAYOUTS["image_folder"]
    wide = {
        path: np.float64 if i % 7 == 3 else np.int32
        for i, path in enumerate(dataset.manifest["path"])
    }

    class Mixed:
        def read(self, *arguments: Any) -> Any:
            dtype = wide[arguments[1]]
            return np.add(layout.read(*arguments).astype(dtype), 0.5 * (dtype is np.float64))

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(LAYOUTS, "image_folder", Mixed())
        data = opened(dataset, "image")
        X, _ = data.memmap("train")
        expected, _ = read_anew(data, "train")
    assert X.dtype == np.float64
    np.testing.assert_array_equal(X, expected)


def write_another_version(folder: Path) -> None:
    np.save(folder / SAMPLES, np.zeros((3, 3)))
    sizes = {SAMPLES: (folder / SAMPLES).stat().st_size}
    (folder / MARKER).write_text(json.dumps({"sizes": sizes}))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "truncated": lambda folder: os.truncate(
        folder / SAMPLES, (folder / SAMPLES).stat().st_size - 1
    ),
    "longer": lambda folder: (folder / SAMPLES).write_bytes((folder / SAMPLES).read_bytes() + b"x"),
    "labels truncated": lambda folder: os.truncate(
        folder / LABELS, (folder / LABELS).stat().st_size - 1
    ),
    "labels gone": lambda folder: (folder / LABELS).unlink(),
    "array gone": lambda folder: (folder / SAMPLES).unlink(),
    "no marker": lambda folder: (folder / MARKER).unlink(),
    "broken marker": lambda folder: (folder / MARKER).write_text("{"),
    "marker without digests": (
        lambda folder: (folder / MARKER).write_text(
            json.dumps(
                json.loads((folder / MARKER).read_text()) | {"blocks": {SAMPLES: None, LABELS: 3}}
            )
        )
    ),
    "marker that names no labels": (
        lambda folder: (folder / MARKER).write_text(
            json.dumps(json.loads((folder / MARKER).read_text()) | {"sizes": {}})
        )
    ),
    "of another version": lambda folder: write_another_version(folder),
    "gone": shutil.rmtree,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_noticed_and_made_again(store: Store, damage: str) -> None:
    data = training_data(store, "window")
    before, labels = (np.array(array) for array in data.memmap("train"))
    folder = split_folder(data.committed, "train", "window")
    for name in (SAMPLES, LABELS):
        (folder / name).chmod(0o644)
    DAMAGES[damage](folder)
    X, y = data.arrays("train")
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(y, labels)
    assert {path.name for path in folder.iterdir()} == {SAMPLES, LABELS, MARKER}


def change(path: Path, content: bytes) -> None:
    """Overwrite the last bytes of a file of the cache; its size stays."""
    path.chmod(0o644)
    with path.open("r+b") as stream:
        stream.seek(-len(content), os.SEEK_END)
        stream.write(content)


READERS: dict[str, Any] = {
    "memmap": lambda data: data.memmap("train"),
    "arrays": lambda data: data.arrays("train"),
    "some": lambda data: data.arrays("train", limit=2),
    "batches": lambda data: list(data.batches("train")),
    "loader": lambda data: list(data.loader("train", 8, seed=0)),
    "dataset": lambda data: data.torch_dataset("train")[len(data.committed.split("train")) - 1],
}


@pytest.mark.parametrize("name", [SAMPLES, LABELS])
@pytest.mark.parametrize("reader", READERS)
def test_an_array_that_was_changed_is_named_and_made_again(
    store: Store, reader: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_array, "BLOCK_BYTES", 512)
    data = training_data(store, "window")
    before = data.arrays("train")
    folder = split_folder(data.committed, "train", "window")
    change(folder / name, b"?")
    with pytest.raises(IntegrityError, match=rf"decoded/.*/{name} is not as it was decoded"):
        READERS[reader](data)
    again = data.arrays("train")
    np.testing.assert_array_equal(again[0], before[0])
    np.testing.assert_array_equal(again[1], before[1])


def test_only_what_is_used_is_checked_and_only_once(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checked_array, "BLOCK_BYTES", 512)
    data = training_data(store, "window")
    X = data.decoded("train").samples()
    expected = np.array(X.whole())
    folder = split_folder(data.committed, "train", "window")
    change(folder / SAMPLES, b"?")  # another time of change: nothing of it has been checked
    again = data.decoded("train").samples()
    for rows in (0, slice(0, 2), np.array([1, 0]), np.array([-len(X)])):
        np.testing.assert_array_equal(again[rows], expected[rows])
    for rows in (-1, slice(-1, None), np.array([0, len(X) - 1]), np.array([-1])):
        with pytest.raises(IntegrityError):
            again[rows]


@pytest.mark.parametrize("view", VIEWS)
def test_verify_finds_an_array_that_was_changed_with_its_digests(store: Store, view: str) -> None:
    data = training_data(store, view)
    for split in SPLITS:
        data.memmap(split)
    reference = Reference(data.committed.row.dataset, data.committed.row.version)
    assert verify(store.workspace, store.registry, reference).damages == []
    folder = split_folder(data.committed, "train", data.view)
    X = np.load(folder / SAMPLES)
    assert not np.array_equal(X, X[::-1])
    change(folder / SAMPLES, X[::-1].tobytes())
    marker = json.loads((folder / MARKER).read_text())
    marker["blocks"][SAMPLES] = checked_array.block_digests(folder / SAMPLES)
    (folder / MARKER).write_text(json.dumps(marker))
    (damage,) = verify(store.workspace, store.registry, reference).damages
    assert (damage.path, damage.fault) == (str(folder / SAMPLES), "changed")


@pytest.mark.filterwarnings("ignore:.*fork")  # of what other tests have imported
def test_what_a_killed_writer_left_is_never_taken_for_whole_and_is_removed(store: Store) -> None:
    data = training_data(store, "window")
    folder = split_folder(data.committed, "train", "window")
    process = multiprocessing.get_context("fork").Process(
        target=_killed_while_writing, args=(data,)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL
    (left,) = folder.parent.glob(".train-*")
    assert (left / SAMPLES).stat().st_size > 1000 and not folder.exists()
    expected, labels = read_anew(data, "train")
    X, y = data.memmap("train")
    np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(y, labels)
    assert not left.exists()


def _killed_while_writing(data: TrainingData) -> None:
    def kill(*arguments: Any) -> Any:
        os.kill(os.getpid(), signal.SIGKILL)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cache, "read_window_indices", kill)
        data.memmap("train")


DECODE = """
import pathlib, sys
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace

root = pathlib.Path(sys.argv[1])
registry = Registry(f"sqlite:///{root}/registry.db")
dataset = CommittedDataset.open(Workspace(root.as_uri()), registry, Reference("scenes"))
data = TrainingData(dataset, "classification", "patch")
print("ready", flush=True)
sys.stdin.readline()
X, y = data.memmap("train")
print(int(X.sum(dtype="int64")), int(y.sum()), len(X))
"""


def test_processes_that_decode_at_once_all_end_well(store: Store) -> None:
    data = training_data(store, "patch")
    command = [sys.executable, "-c", DECODE, str(store.workspace.root)]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [process.stdout.readline() for process in processes if process.stdout] == ["ready\n"] * 2
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    found = [process.communicate(timeout=120)[0].split() for process in processes]
    expected, labels = read_anew(data, "train")
    assert (
        found
        == [[str(int(expected.sum(dtype=np.float64))), str(labels.sum()), str(len(labels))]] * 2
    )
    folder = split_folder(data.committed, "train", "patch")
    assert {path.name for path in folder.parent.iterdir()} == {"train", ".train.lock"}


def test_a_cache_that_is_deleted_while_it_is_written_is_written_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(store, "image")
    folder = split_folder(data.committed, "train", "image")
    original, reads = cache.read_samples, []

    def read_then_delete(*arguments: Any) -> Any:
        reads.append(1)
        if len(reads) == 1:
            shutil.rmtree(folder.parent)
        return original(*arguments)

    monkeypatch.setattr(cache, "read_samples", read_then_delete)
    monkeypatch.setattr(cache, "THREADS", 1)
    X, _ = data.memmap("train")
    assert len(reads) == 2 * len(X)
    np.testing.assert_array_equal(X, read_anew(data, "train")[0])


def test_deleting_the_cache_while_it_is_read_does_no_harm(store: Store) -> None:
    data = training_data(store, "patch")
    X, _ = data.memmap("train")
    expected = np.array(X)
    shutil.rmtree(data.committed.workspace.cache)
    np.testing.assert_array_equal(X, expected)
    np.testing.assert_array_equal(data.memmap("train")[0], expected)


def test_a_decoded_split_that_is_gone_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="was deleted while it was in use"):
        Decoded(tmp_path / "gone").samples()


def test_a_full_disk_is_named_with_the_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(store, "patch")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        StorageError,
        match="cannot be written: No space left on device; free space, or set MLOPS_CACHE to a"
        " folder that has it, or MLOPS_READING=stream",
    ):
        data.memmap("train")
    assert [
        path.name for path in split_folder(data.committed, "train", "patch").parent.iterdir()
    ] == [".train.lock"]


def test_files_that_changed_are_never_decoded(store: Store) -> None:
    data = training_data(store, "patch")
    path = data.committed.workspace.local_path(f"objects/{next(iter(_objects(data)))}")
    path.write_bytes(path.read_bytes()[:-1] + b"!")
    with pytest.raises(IntegrityError, match="is not as it was published"):
        data.memmap("train")
    assert not split_folder(data.committed, "train", "patch").exists()


def _objects(data: TrainingData) -> list[str]:
    rows = data.committed.manifest.sort_values("path")
    return [f"sha256/{sha[:2]}/{sha[2:]}" for sha in rows["sha256"]]


def test_equal_content_of_two_datasets_is_decoded_once(store: Store) -> None:
    one, other = (land(store, scenes_specification(name), write_scene) for name in ("one", "other"))
    assert one.row.digest == other.row.digest
    first = decoded(one, "train", "patch", (4, 3, 3))
    inode = (first.folder / SAMPLES).stat().st_ino
    assert (decoded(other, "train", "patch", (4, 3, 3)).folder / SAMPLES).stat().st_ino == inode


@pytest.mark.parametrize("limit", [1, 3, 1000])
@pytest.mark.parametrize("whole_files", [True, False])
def test_chunks_hold_every_sample_once_by_file_and_place(limit: int, whole_files: bool) -> None:
    rng = np.random.default_rng(0)
    samples = pd.DataFrame(
        {
            "path": rng.choice(["b", "a", "c"], 50),
            "row": rng.integers(0, 9, 50),
            "column": rng.integers(0, 9, 50),
        }
    )
    found = list(chunks(samples, limit, whole_files))
    pieces = [piece for chunk in found for piece in chunk]
    assert sorted(np.concatenate([positions for _, positions in pieces]).tolist()) == list(
        range(50)
    )
    for path, positions in pieces:
        assert set(samples["path"].iloc[positions]) == {path}
        places = samples.iloc[positions][["row", "column"]].to_numpy().tolist()
        assert places == sorted(places)
    if whole_files:
        assert [path for path, _ in pieces] == ["a", "b", "c"]
    else:
        assert all(sum(len(positions) for _, positions in chunk) <= limit for chunk in found)
    assert list(chunks(samples.iloc[:0], limit, whole_files)) == []


def test_memory_does_not_grow_with_the_number_of_samples(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "CHUNK_BYTES", 1 << 20)
    specification = scenes_specification(
        source={"url": "landing/scenes", "layout": "scenes", "scenes": {"size": 21}},
        split={"method": "spatial_block", "block": 16, "fractions": {"train": 0.9, "test": 0.1}},
    )
    dataset = land(store, specification, lambda folder: write_scene(folder, size=96, bands=6))
    shape = (6, 21, 21)
    size = len(dataset.split("train")) * int(np.prod(shape)) * 2
    # imports and such
    LAYOUTS["scenes"].read(dataset, "images/a.tif", np.zeros((1, 2), dtype=np.int64), "patch")
    tracemalloc.start()
    try:
        X = decoded(dataset, "train", "patch", shape).samples()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert X.nbytes == size > 30 << 20
    assert peak < 8 << 20
