"""What is streamed is what the decoded cache holds, in every view and every order."""

from __future__ import annotations

import gc
import io
import resource
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.loading import scratch_dataset, streamed
from mlops_assets.datasets.loading.order import Runs
from mlops_assets.datasets.loading.training_data import Shuffle, TrainingData
from mlops_assets.datasets.quality.content import sample_values
from mlops_assets.datasets.quality.content.sample_values import SampleValues
from mlops_assets.datasets.quality.findings.integrity import check_readable
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.decoded_cache import split_folder
from mlops_assets.errors import IntegrityError, SettingsError, SpecificationError, StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import pack_key
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.datasets.committed_images import images as landed_images
from mlops_assets_tests.datasets.committed_images import images_specification, pack_images
from mlops_assets_tests.datasets.views import (
    VIEWS,
    images,
    land,
    opened,
    training_data,
    write_images,
)
from mlops_assets_tests.servers.buckets import Bucket

READERS: dict[str, Callable[[TrainingData], Any]] = {
    "arrays": lambda data: [data.arrays("train")],
    "a few": lambda data: [data.arrays("train", limit=5)],
    "batches": lambda data: list(data.batches("train", 7)),
    "loader": lambda data: _twice(data, None),
    "loader, in order": lambda data: _twice(data, False),
    "loader, runs": lambda data: _twice(data, "runs"),
    "dataset": lambda data: [data.torch_dataset("train")[-1]],
    "labels": lambda data: [(y, y) for y in data.label_batches("train")],
}


def _twice(data: TrainingData, shuffle: Shuffle | None) -> list[tuple[torch.Tensor, torch.Tensor]]:
    loader = data.loader("train", 7, seed=3, workers=0, shuffle=shuffle)
    return [*loader, *loader]


@pytest.fixture
def threads() -> int:
    """Threads that others have started in this process, such as the monitor of tqdm."""
    return threading.active_count()


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("view", VIEWS)
def test_streamed_is_what_the_cache_gives(
    store: Store, view: str, reader: str, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "BLOCK_BYTES", 2000)  # several blocks of few samples
    monkeypatch.setattr(streamed, "PART_BYTES", 1000)
    monkeypatch.setattr(streamed, "RUN_BYTES", 1500)
    data = training_data(store, view, scaling="standardize")
    folder = split_folder(data.committed, "train", data.view)
    monkeypatch.setenv("MLOPS_READING", "stream")
    found = READERS[reader](data)
    assert not folder.exists()
    monkeypatch.delenv("MLOPS_READING")
    cached = training_data(store, view, scaling="standardize")
    expected = READERS[reader](cached)
    assert len(found) == len(expected)
    for (X, y), (A, b) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(X, A)
        np.testing.assert_array_equal(y, b)
        assert (X.dtype, y.dtype) == (A.dtype, b.dtype)
    assert threading.active_count() == threads


def sidecar_images(folder: Path) -> None:
    """GeoTIFFs of which some have their scale in a sidecar, NPY and PNG among them."""
    write_images(folder, 12)
    for path in sorted(folder.rglob("*.tif"))[::2]:
        path.with_name(f"{path.name}.aux.xml").write_text(
            "<PAMDataset><PAMRasterBand band='1'><Scale>0.5</Scale></PAMRasterBand></PAMDataset>"
        )
    for number in range(4):
        image = np.full((3, 6, 6), 20 * number, np.uint16)
        np.save(folder / "land" / f"9{number}.npy", image)
        with open_raster(
            folder / "water" / f"9{number}.png",
            "w",
            driver="PNG",
            height=6,
            width=6,
            count=3,
            dtype="uint16",
        ) as raster:
            raster.write(image)


def test_images_of_any_kind_are_streamed_with_their_sidecars(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = {"url": "landing/kinds", "layout": "image_folder"} | {
        "image_folder": {"apply_scale": True}
    }
    committed = land(store, images("kinds", source=source), sidecar_images)
    expected = opened(committed, "image").arrays("train")
    raw = opened(land(store, images("raw"), sidecar_images), "image").arrays("train")
    assert (raw[0] != expected[0]).any()
    shutil.rmtree(committed.workspace.cache)
    monkeypatch.setenv("MLOPS_READING", "stream")
    data = opened(committed, "image")
    for found, own in zip(data.arrays("train"), expected, strict=True):
        np.testing.assert_array_equal(found, own)


def test_few_scenes_are_kept_and_more_need_an_order_by_scene(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streamed, "FOLDER_BYTES", 1)
    monkeypatch.setattr(scratch_dataset, "FOLDER_BYTES", 1)
    monkeypatch.setenv("MLOPS_READING", "stream")
    data = training_data(store, "window")
    with pytest.raises(
        SpecificationError, match=r"0\.0 GiB of scenes at once; set params\.shuffle"
    ):
        data.loader("train", 4, seed=0)
    positions = [batch.positions for batch in data.batch_order("train", 4, 0, "runs")]
    order = np.concatenate(positions)
    paths = data.committed.split("train")["path"].to_numpy()[order]
    assert sorted(order.tolist()) == list(range(len(paths)))
    # one scene after the other, but for a batch that takes from both
    assert (paths[1:] != paths[:-1]).sum() <= 4
    assert sum(len(X) for X, _ in data.loader("train", 4, seed=0, shuffle="runs")) == len(paths)
    folder = next(data.committed.workspace.cache.glob("mlops-reading-*"))
    assert len(list((folder / "files" / "images").iterdir())) == 1
    del data
    gc.collect()
    assert not folder.exists()


def test_runs_keep_neighbours_together_and_mix_them_within_a_window() -> None:
    runs = Runs(np.arange(1000), np.arange(0, 1000, 10), window=205)
    order = runs.shuffled(np.random.default_rng(0), batch=10)
    assert sorted(order.tolist()) == list(range(1000))
    for start in range(0, 1000, 200):
        window = order[start : start + 200]
        assert len(set((window // 10).tolist())) == 20
        assert len(set((window[:20] // 10).tolist())) > 5
    again = runs.shuffled(np.random.default_rng(0), batch=10)
    np.testing.assert_array_equal(order, again)
    assert (order != runs.shuffled(np.random.default_rng(1), batch=10)).any()


def test_damage_is_found_and_ends_reading(
    store: Store, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_READING", "stream")
    monkeypatch.setattr(streamed, "PART_BYTES", 1000)
    data = training_data(store, "image")
    path = data.committed.split("train")["path"].iloc[-1]
    row = data.committed.manifest.set_index("path").loc[path]
    stored = data.committed.workspace.root / pack_key(row["pack"])
    content = bytearray(stored.read_bytes())
    content[row["offset"] + row["size"] - 1] ^= 1
    stored.write_bytes(content)
    for reader in ("arrays", "batches", "loader", "loader, runs"):
        with pytest.raises(IntegrityError, match=f"{path}: .* is not as it was published"):
            READERS[reader](data)
    assert threading.active_count() == threads


def test_a_full_disk_is_named_with_the_remedy(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(store, "window")
    monkeypatch.setenv("MLOPS_READING", "stream")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, before[1]))
    try:
        with pytest.raises(StorageError, match="File too large; free space there, or set MLOPS_CA"):
            data.arrays("train")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_threads_end_with_a_loop_that_is_left(
    store: Store, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_READING", "stream")
    monkeypatch.setattr(streamed, "PART_BYTES", 1000)
    data = training_data(store, "image")
    for reader in (lambda: data.batches("train", 4), lambda: data.loader("train", 4, seed=0)):
        for _ in reader():
            assert threading.active_count() > threads
            break
        gc.collect()
        assert threading.active_count() == threads


def test_a_memory_map_and_an_unknown_way_of_reading_are_refused(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = training_data(store, "image")
    monkeypatch.setenv("MLOPS_READING", "stream")
    with pytest.raises(SettingsError, match="a memory map needs the decoded cache; use 'batches'"):
        data.memmap("train")
    monkeypatch.setenv("MLOPS_READING", "fast")
    with pytest.raises(SettingsError, match="MLOPS_READING=fast: write 'cache' or 'stream'"):
        data.arrays("train")


@pytest.mark.services
def test_packs_in_a_bucket_are_streamed_by_ranges_and_nothing_is_kept(
    az: Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    workspace = Workspace(f"{az.url}/workspace", cache)
    registry = Registry("sqlite://").acting(local("tester"))
    for path, content in landed_images().items():
        az.put(f"workspace/landing/tiles/{path}", content)
    commit(workspace, registry, images_specification())
    committed = pack_images(CommittedDataset.open(workspace, registry, Reference("tiles")))
    shutil.rmtree(cache)
    monkeypatch.setenv("MLOPS_READING", "stream")
    data = TrainingData(committed, "classification")
    batches = list(data.loader("train", 3, seed=0, shuffle="runs"))
    order = np.concatenate([b.positions for b in data.batch_order("train", 3, 0, "runs")])
    paths = committed.split("train")["path"].to_numpy()[order]
    for X, path in zip(torch.cat([X for X, _ in batches]), paths, strict=True):
        np.testing.assert_array_equal(X, np.load(io.BytesIO(landed_images()[path])))
    assert [path for path in cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("view", ["image", "window"])
@pytest.mark.parametrize("most", [None, 1])
def test_quality_is_judged_by_the_same_values(
    store: Store, view: str, most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_values, "MIN_READ", 3)
    committed = training_data(store, view).committed

    def values() -> dict[int, tuple[bytes, list[list[int]] | None]]:
        found = SampleValues(committed, most)
        return {
            int(position): (X.tobytes(), None if block.y is None else block.y[number].tolist())
            for block in found.blocks("train", found.chosen["train"])
            for number, (position, X) in enumerate(zip(block.positions, block.X, strict=True))
        }

    monkeypatch.setenv("MLOPS_READING", "stream")
    streamed_values = values()
    assert check_readable(committed).passed
    assert not (committed.workspace.cache / "decoded").exists()
    monkeypatch.setenv("MLOPS_READING", "cache")
    assert values() == streamed_values
