"""Reading data versions whose files are in packs.

Few ranges, every file hashed, and damage named for what it is.
"""

from __future__ import annotations

import dataclasses
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.quality.findings.integrity import check_readable
from mlops_assets.datasets.recall import destinations, objects
from mlops_assets.datasets.recall.objects import StoredBytes, StoredFile, stored_files
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.recall.verify import damaged_files
from mlops_assets.datasets.versions.checked_array import CheckedArray
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.decoded_cache import Decoded, damaged_splits, decoded
from mlops_assets.errors import Conflict, IntegrityError, StorageError, StorageUnreachable
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.datasets.committed_images import (
    damage,
    image,
    images,
    images_specification,
    land_images,
    pack_images,
    pack_path,
    tree,
)
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket

PATHS = sorted(images())
HEADER = 94  # bytes of a ZIP file between two entries
SIZE = len(image(0))
WINDOWS = {
    "url": "landing/scenes",
    "layout": "scenes",
    "scenes": {"read": "windows", "size": 16},
}
WHEAT = "test/wheat/1.npy"


@pytest.fixture
def packed(store: Store) -> CommittedDataset:
    return pack_images(land_images(store))


def packed_in(bucket: Bucket, folder: Path) -> CommittedDataset:
    """A version in packs in a bucket; `folder` is for the cache."""
    workspace = Workspace(f"{bucket.url}/workspace", folder / "cache")
    registry = Registry("sqlite://").acting(local("tester"))
    for path, content in images().items():
        bucket.put(f"workspace/landing/tiles/{path}", content)
    commit(workspace, registry, images_specification())
    return pack_images(CommittedDataset.open(workspace, registry, Reference("tiles")))


def packed_again(committed: CommittedDataset, cache: Path) -> CommittedDataset:
    """The same version on another machine."""
    return dataclasses.replace(committed, workspace=Workspace(committed.workspace.url, cache))


@pytest.fixture
def ranges(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The number of bytes of each range that is asked for."""
    found: list[int] = []
    get = Workspace.get_pack_range

    def counting(self: Workspace, pack: str, offset: int, size: int) -> memoryview:
        found.append(size)
        return get(self, pack, offset, size)

    monkeypatch.setattr(Workspace, "get_pack_range", counting)
    return found


def faults(committed: CommittedDataset) -> dict[str, str]:
    """Path → fault."""
    damages, _ = damaged_files(committed.workspace, stored_files(committed.manifest))
    return {damage.path: damage.fault for damage in damages}


@pytest.fixture(params=["range", "stream"])
def at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Read a whole pack by one range, or as a stream of chunks in which no file begins or ends."""
    if request.param == "stream":
        monkeypatch.setattr(objects, "_GROUP_BYTES", 3 * SIZE)
        monkeypatch.setattr(objects, "_CHUNK", 99)


# which bytes are read


def test_all_files_of_a_pack_are_read_by_one_request_and_verified_by_none_of_a_part(
    packed: CommittedDataset, tmp_path: Path, ranges: list[int]
) -> None:
    recall(packed, tmp_path / "recalled")
    assert tree(tmp_path / "recalled") == images()
    assert len(ranges) == 1
    damages, size = damaged_files(packed.workspace, stored_files(packed.manifest))
    assert (damages, size) == ([], 12 * SIZE)
    assert len(ranges) == 1


@pytest.mark.parametrize(
    ("splits", "classes", "gap", "expected"),
    [
        # entries next to each other in the pack come together
        (["test"], None, HEADER, [4 * SIZE + 3 * HEADER]),
        (None, ["wheat"], HEADER, [2 * SIZE + HEADER] * 3),
        (["test"], ["wheat"], HEADER, [2 * SIZE + HEADER]),
        (None, ["wheat"], HEADER - 1, [SIZE] * 6),
        # two others between them are read rather than asked for around
        (None, ["wheat"], 2 * SIZE + 3 * HEADER, [10 * SIZE + 9 * HEADER]),
    ],
)
def test_of_a_split_or_class_only_its_ranges_are_read(
    packed: CommittedDataset,
    tmp_path: Path,
    ranges: list[int],
    monkeypatch: pytest.MonkeyPatch,
    splits: list[str] | None,
    classes: list[str] | None,
    gap: int,
    expected: list[int],
) -> None:
    monkeypatch.setattr(objects, "_GAP_BYTES", gap)
    recall(packed, tmp_path / "recalled", splits, classes)
    assert sorted(ranges) == expected


def test_most_of_a_large_pack_is_read_as_one_stream_and_less_by_ranges(
    packed: CommittedDataset,
    tmp_path: Path,
    ranges: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(objects, "_GROUP_BYTES", 3 * SIZE)
    monkeypatch.setattr(objects, "_GAP_BYTES", HEADER)
    recall(packed, tmp_path / "whole")
    assert ranges == []
    recall(packed, tmp_path / "part", classes=["wheat"])
    assert ranges == [2 * SIZE + HEADER] * 3


def test_a_stream_that_is_interrupted_is_continued_by_ranges(
    packed: CommittedDataset,
    tmp_path: Path,
    ranges: list[int],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(_: StoredBytes, pack: str) -> Iterator[bytes]:
        yield pack_path(packed).read_bytes()[: 5 * (SIZE + HEADER)]
        raise StorageUnreachable("timed out")

    monkeypatch.setattr(objects, "_GROUP_BYTES", 4 * SIZE)
    monkeypatch.setattr(StoredBytes, "_pack_chunks", interrupted)
    recall(packed, tmp_path / "recalled")
    assert tree(tmp_path / "recalled") == images()
    assert ranges == [3 * SIZE + 2 * HEADER] * 2 + [SIZE]


def test_many_files_are_read_in_the_order_of_their_packs_then_single_ones_as_given(
    store: Store, packed: CommittedDataset, monkeypatch: pytest.MonkeyPatch, ranges: list[int]
) -> None:
    monkeypatch.setattr(objects, "_GROUP_BYTES", 3 * SIZE + 2 * HEADER)
    added = {f"train/maize/{n}.npy": image(50 + n) for n in (5, 4, 3)}
    single = stored_files(land_images(store, images() | added).manifest)
    # the files of the pack by their offset, and twice, as of two versions
    files = stored_files(packed.manifest)
    wanted = [file for file in reversed(single) if file.path in added] + files[::-1] * 2
    found = list(StoredBytes(store.workspace).read_many(wanted))
    assert [file.path for file, _ in found] == [
        *(path for path in PATHS for _ in range(2)),
        *added,
    ]
    assert {file.path: content for file, content in found} == images() | added
    assert sum(ranges) < 2 * 12 * SIZE


def test_what_is_read_ahead_is_bounded(
    packed: CommittedDataset, monkeypatch: pytest.MonkeyPatch, ranges: list[int]
) -> None:
    monkeypatch.setattr(objects, "_GROUP_BYTES", SIZE)
    monkeypatch.setattr(objects, "THREADS", 2)
    reading = StoredBytes(packed.workspace).read_many(stored_files(packed.manifest))
    next(reading)
    time.sleep(0.2)  # in which all would be read
    assert len(ranges) <= 3
    reading.close()
    assert len(ranges) <= 3


# damage


def flip_an_entry(committed: CommittedDataset) -> None:
    content = bytearray(pack_path(committed).read_bytes())
    content[int(committed.manifest["offset"].iloc[3]) + SIZE // 2] ^= 1
    damage(pack_path(committed), bytes(content))


def flip_the_directory(committed: CommittedDataset) -> None:
    content = bytearray(pack_path(committed).read_bytes())
    content[-30] ^= 1
    damage(pack_path(committed), bytes(content))


def cut_off(committed: CommittedDataset) -> None:
    end = int(committed.manifest["offset"].iloc[10]) + 5
    damage(pack_path(committed), pack_path(committed).read_bytes()[:end])


def remove(committed: CommittedDataset) -> None:
    pack_path(committed).unlink()


def replace_by_a_pipe(committed: CommittedDataset) -> None:
    remove(committed)
    os.mkfifo(pack_path(committed))


Fault = Callable[[CommittedDataset], None]
FAULTS: list[tuple[Fault, dict[str, str]]] = [
    (flip_an_entry, {PATHS[3]: "changed"}),
    (cut_off, {PATHS[10]: "size", PATHS[11]: "size"}),
    (remove, dict.fromkeys(PATHS, "missing")),
    (replace_by_a_pipe, dict.fromkeys(PATHS, "unreadable")),
]
OF_THE_PACK: dict[Fault, str] = {remove: "missing", replace_by_a_pipe: "unreadable"}


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("fault", "expected"), FAULTS)
def test_damage_of_a_pack_is_that_of_the_files_in_it(
    packed: CommittedDataset, tmp_path: Path, fault: Fault, expected: dict[str, str]
) -> None:
    fault(packed)
    assert faults(packed) == expected
    with pytest.raises(IntegrityError, match="are not as they were committed") as raised:
        recall(packed, tmp_path / "recalled")
    assert all(path in str(raised.value) for path in expected)
    assert "--rehash" in str(raised.value)
    if fault is flip_an_entry:  # the others are seen before anything is written
        assert tree(tmp_path / "recalled").keys() == set(PATHS) - expected.keys()
    else:
        assert not (tmp_path / "recalled").exists()


@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize(("fault", "expected"), [*FAULTS, (flip_the_directory, {})])
def test_single_objects_repair_a_pack_which_is_then_named_alone(
    packed: CommittedDataset, tmp_path: Path, fault: Fault, expected: dict[str, str]
) -> None:
    fault(packed)
    for path in expected:
        packed.workspace.put_object(images()[path])
    assert faults(packed) == {
        str(pack_path(packed).relative_to(packed.workspace.root)): OF_THE_PACK.get(fault, "changed")
    }
    recall(packed, tmp_path / "recalled")
    assert tree(tmp_path / "recalled") == images()
    assert check_readable(packed).passed
    assert {path: packed.local_path(path).read_bytes() for path in PATHS} == images()


def test_what_is_advised_about_a_missing_pack_helps(packed: CommittedDataset) -> None:
    remove(packed)
    files = stored_files(packed.manifest)
    with pytest.raises(StorageError, match=r"restore it from a backup, or commit .* --rehash"):
        StoredBytes(packed.workspace).pack_digests(files)
    for path in PATHS:
        packed.workspace.put_object(images()[path])
    (damage,), _ = damaged_files(packed.workspace, files)
    assert "'mlops dataset commit NAME --rehash'" in damage.detail
    assert PATHS[0] in damage.detail


def test_an_offset_that_is_wrong_is_damage_of_its_file(packed: CommittedDataset) -> None:
    offsets = packed.manifest["offset"].copy()
    offsets[3] += 1
    offsets[4] = 1 << 40
    wrong = dataclasses.replace(packed, manifest=packed.manifest.assign(offset=offsets))
    assert faults(wrong) == {PATHS[3]: "changed", PATHS[4]: "size"}
    for file in stored_files(wrong.manifest)[3:5]:
        with pytest.raises(IntegrityError, match=f"{file.path}: .* is not as it was published"):
            dict(StoredBytes(wrong.workspace).read_many([file]))


@pytest.mark.parametrize("offset", [-50, -(1 << 40), 1 << 40, (1 << 63) - 1 - SIZE])
def test_what_lies_outside_of_a_pack_is_damage_to_every_reader(
    packed: CommittedDataset, offset: int
) -> None:
    offsets = packed.manifest["offset"].copy()
    offsets[3] = offset
    wrong = dataclasses.replace(packed, manifest=packed.manifest.assign(offset=offsets))
    files = stored_files(wrong.manifest)
    with pytest.raises((IntegrityError, StorageError)):
        list(StoredBytes(packed.workspace).read_many(files))
    with pytest.raises((IntegrityError, StorageError)):
        wrong.local_path(PATHS[3])


def test_a_server_that_refuses_a_pack_is_no_sign_of_damage(
    faulty_s3: FaultyBucket, tmp_path: Path
) -> None:
    packed = packed_in(faulty_s3, tmp_path)
    faulty_s3.faults.add("*.zip", status=403)
    assert set(faults(packed).values()) == {"unreadable"}
    with pytest.raises(StorageError, match="access denied"):
        check_readable(packed)


@pytest.mark.usefixtures("at_once")
def test_a_damaged_pack_in_a_bucket_leaves_the_files_that_are_whole(
    s3: Bucket, tmp_path: Path
) -> None:
    packed = packed_in(s3, tmp_path)
    recall(packed, tmp_path / "recalled")
    recall(packed, f"{s3.url}/elsewhere")
    assert tree(tmp_path / "recalled") == images()
    assert {s3.get(f"elsewhere/{path}") for path in PATHS} == set(images().values())
    (key,) = s3.paths("workspace/objects/packs")
    content = bytearray(s3.get(key))
    content[int(packed.manifest["offset"].iloc[3]) + SIZE // 2] ^= 1
    s3.put(key, bytes(content))
    again = packed_again(packed, tmp_path / "other cache")
    assert faults(again) == {PATHS[3]: "changed"}
    with pytest.raises(IntegrityError, match=r"11 of 12 files are in"):
        recall(again, tmp_path / "again")
    assert tree(tmp_path / "again").keys() == set(PATHS) - {PATHS[3]}
    s3.put(key, bytes(content[: int(packed.manifest["offset"].iloc[10]) + 5]))
    assert faults(again) == {PATHS[3]: "changed", PATHS[10]: "size", PATHS[11]: "size"}
    s3.delete(key)
    assert set(faults(again).values()) == {"missing"}


# where something is already


def test_a_recall_from_a_pack_that_was_interrupted_is_carried_on(
    packed: CommittedDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "recalled"
    write = destinations.FolderTarget.write

    def interrupted(
        self: destinations.FolderTarget, file: StoredFile, chunks: Iterator[bytes]
    ) -> destinations.How:
        if file.path == PATHS[7]:
            raise KeyboardInterrupt
        return write(self, file, chunks)

    with monkeypatch.context() as patch:
        patch.setattr(destinations.FolderTarget, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            recall(packed, target)
    assert tree(target) == {path: images()[path] for path in PATHS[:7]}
    done = recall(packed, target)
    assert (done.kept, done.written) == (7, {"copied": 5})
    assert tree(target) == images()


def test_other_files_are_kept_and_not_replaced(packed: CommittedDataset, tmp_path: Path) -> None:
    target = tmp_path / "recalled"
    (target / WHEAT).parent.mkdir(parents=True)
    (target / WHEAT).write_bytes(image(99))
    (target / "mine").write_bytes(b"mine")
    before = tree(target)
    with pytest.raises(Conflict, match=f"{WHEAT}: has other bytes"):
        recall(packed, target)
    assert tree(target) == before
    recall(packed, target, force=True)
    assert tree(target) == images() | {"mine": b"mine"}


# decoding


def test_a_split_is_decoded_by_few_requests_and_leaves_no_copies_of_its_files(
    packed: CommittedDataset, ranges: list[int]
) -> None:
    found = decoded(packed, "train", "image", (2, 8, 8)).samples()
    expected = [
        np.load(io.BytesIO(images()[path])) for path in packed.split("train")["path"].tolist()
    ]
    np.testing.assert_array_equal(found[:], np.stack(expected))
    assert ranges == [4 * SIZE + 3 * HEADER]
    assert {path.name for path in packed.workspace.cache.iterdir()} == {"decoded"}
    assert damaged_splits(packed) == []


def test_copies_in_a_pack_are_decoded_as_their_original_and_others_as_themselves(
    store: Store,
) -> None:
    files = images() | {"train/maize/2.npy": images()["train/maize/1.npy"]}
    packed = pack_images(land_images(store, files))
    found = decoded(packed, "train", "image", (2, 8, 8)).samples()
    expected = [np.load(io.BytesIO(files[path])) for path in packed.split("train")["path"].tolist()]
    np.testing.assert_array_equal(found[:], np.stack(expected))


def test_with_a_scene_from_a_pack_come_its_labels_and_sidecars(
    store: Store, land_scenes: Callable[..., Commit], ranges: list[int]
) -> None:
    declared = scenes_specification()
    write_scene(store.workspace.root / declared.source.url, "b", seed=1)
    with (
        rasterio.Env(GDAL_TIFF_INTERNAL_MASK=False),
        open_raster(store.workspace.root / declared.source.url / "images/b.tif", "r+") as raster,
    ):
        mask = np.full(raster.shape, 255, dtype=np.uint8)
        mask[:3] = 0
        raster.write_mask(mask)
    land_scenes(scenes_specification(source=WINDOWS, split={"method": "random"}))
    single = CommittedDataset.open(store.workspace, store.registry, Reference(declared.name))
    sides = single.document.input.sides
    shape = (len(single.document.features), *sides)
    expected = [array[:] for array in _arrays(decoded(single, "train", "window", shape))]
    shutil.rmtree(single.workspace.cache)
    packed = pack_images(single)
    found = _arrays(decoded(packed, "train", "window", shape))
    for array, before in zip(found, expected, strict=True):
        np.testing.assert_array_equal(array[:], before)
    assert len(ranges) == 1
    assert {path.name for path in packed.workspace.cache.iterdir()} == {"decoded"}


def _arrays(split: Decoded) -> list[CheckedArray[Any]]:
    shown = split.shown()
    assert shown is not None
    return [split.samples(), split.labels(), shown]
