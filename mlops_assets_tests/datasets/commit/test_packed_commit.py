"""Commits of many small files: stored in packs, each once, whatever interrupts or damages them."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import signal
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
from rasterio.transform import Affine

from mlops_assets.datasets.commit import packing
from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.sources import folder as folder_landing
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import StorageError
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import (
    LOG,
    dataset_record_folder,
    object_key,
    pack_key,
    version_folder,
)
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.reindex.reindex import reindex
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.packs import Pack, Place
from mlops_assets.store import Store
from mlops_assets_tests import interpreter
from mlops_assets_tests.datasets.commit.test_ingest import array, declared
from mlops_assets_tests.datasets.readers.landing import write_raster
from mlops_assets_tests.faults.life import watched

COUNT = 80
BELOW = 1 << 10  # bytes; the arrays are smaller


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that lies in a landing has lain there for long."""
    monkeypatch.setattr(folder_landing, "CLOCK_SECONDS", -3600.0)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    land(folder, range(COUNT))
    return folder


@pytest.fixture(params=["file", pytest.param("s3", marks=pytest.mark.services)])
def store(request: pytest.FixtureRequest, store: Store, tmp_path: Path) -> Store:
    """A workspace in a folder and in a bucket, both with packs."""
    if request.param == "file":
        return reopened(store, BELOW)
    workspace = Workspace(request.getfixturevalue("s3").url, tmp_path / "cache", BELOW)
    return Store(workspace, store.registry)


def reopened(store: Store, below: int) -> Store:
    return Store(Workspace(store.workspace.url, store.workspace.cache, below), store.registry)


def land(folder: Path, numbers: range) -> None:
    for number in numbers:
        path = folder / ("land", "water")[number % 2] / f"{number:03d}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(array(number))


def commit_of(store: Store, landing: Path, name: str = "tiles", rehash: bool = False) -> Commit:
    source = {"url": landing.as_uri(), "layout": "image_folder"}
    specification = declared(name).model_copy(
        update={"source": declared(name).source.model_validate(source)}
    )
    return commit(store.workspace, store.registry, specification, rehash=rehash)


def committed(
    store: Store, landing: Path, name: str = "tiles", rehash: bool = False
) -> CommittedDataset:
    reference = Reference(name, commit_of(store, landing, name, rehash).version.version)
    return CommittedDataset.open(store.workspace, store.registry, reference)


def places(dataset: CommittedDataset) -> dict[str, tuple[str, int]]:
    """Path → pack and offset of the files that are in packs."""
    packed = dataset.manifest.dropna(subset=["pack"])
    found = zip(packed["pack"], packed["offset"], strict=True)
    return dict(zip(packed["path"], found, strict=True))


def pack_of(dataset: CommittedDataset) -> str:
    """The one pack that has files of a data version."""
    (pack,) = {pack for pack, _ in places(dataset).values()}
    return pack


def rows(dataset: CommittedDataset) -> Iterable[Any]:
    return dataset.manifest.itertuples()


def stored_bytes(store: Store, row: Any) -> bytes:
    """The bytes of a file by its row of the manifest, from its pack if it is in one."""
    if pd.isna(row.pack):
        return store.workspace.get_object(row.sha256)
    return store.workspace.get_packed(row.sha256, row.size, Place(row.pack, row.offset))


def objects(store: Store) -> list[str]:
    return sorted(store.workspace.list("objects"))


def test_small_files_are_in_one_pack_that_anything_opens_and_the_digest_is_that_of_single_objects(
    store: Store, landing: Path, tmp_path: Path
) -> None:
    (landing / "land" / "copy.npy").write_bytes(array(2))
    dataset = committed(store, landing)
    found = places(dataset)
    (pack,) = {pack for pack, _ in found.values()}
    assert len(found) == COUNT + 1
    assert found["land/copy.npy"] == found["land/002.npy"]
    assert objects(store) == [pack_key(pack)]
    content = store.workspace.get(pack_key(pack))
    assert sha256_of(content) == pack
    for path, sha256, size in dataset.manifest[["path", "sha256", "size"]].itertuples(index=False):
        landed = (landing / path).read_bytes()
        assert content[found[path][1] : found[path][1] + size] == landed
        assert sha256_of(landed) == sha256
    with zipfile.ZipFile(store.workspace.local_path(pack_key(pack))) as file:
        assert sorted(file.namelist()) == sorted(set(dataset.manifest["sha256"]))
    single = Store(
        Workspace((tmp_path / "other").as_uri()), Registry(f"sqlite:///{tmp_path / 'other.db'}")
    )
    assert committed(single, landing).row.digest == dataset.row.digest


def test_files_of_the_threshold_and_a_handful_of_small_ones_are_single_objects(
    store: Store, landing: Path
) -> None:
    size = (landing / "land" / "000.npy").stat().st_size
    dataset = committed(reopened(store, size), landing)
    assert places(dataset) == {}
    land(landing, range(COUNT, COUNT + packing.MANY - 1))
    dataset = committed(reopened(store, size + 1), landing)
    assert places(dataset) == {}
    assert objects(store) == sorted(map(object_key, dataset.manifest["sha256"]))
    land(landing, range(COUNT * 2, COUNT * 2 + packing.MANY))
    dataset = committed(reopened(store, size + 1), landing)
    assert len(places(dataset)) == packing.MANY


def test_what_is_stored_is_not_stored_again_in_a_pack_or_by_itself(
    store: Store, landing: Path, tmp_path: Path
) -> None:
    single = reopened(store, 0)
    first = committed(single, landing)
    by_themselves = objects(store)
    for path in landing.rglob("*.npy"):  # known by their bytes only
        path.rename(path.with_stem(f"renamed {path.stem}"))
    land(landing, range(COUNT, 2 * COUNT))
    second = committed(store, landing)
    assert len(places(second)) == COUNT
    pack = pack_of(second)
    assert objects(store) == sorted([*by_themselves, pack_key(pack)])
    copy = tmp_path / "copy"
    land(copy, range(COUNT, 2 * COUNT))
    third = committed(store, copy, "others")
    assert {place for _, place in places(third).items()} == set(places(second).values())
    assert objects(store) == sorted([*by_themselves, pack_key(pack)])
    for dataset in (first, second, third):
        for row in rows(dataset):
            assert sha256_of(stored_bytes(store, row)) == row.sha256
        target = tmp_path / f"{dataset.row.dataset} {dataset.row.version}"
        recall(dataset, target)
        recalled = {path.relative_to(target).as_posix() for path in target.rglob("*.npy")}
        assert recalled == set(dataset.manifest["path"])
        features, labels = TrainingData(dataset, "classification").arrays("train")
        assert len(features) == len(labels) == len(dataset.split("train")) > 0
    assert verify_all(store).problems == []


def test_single_objects_on_request_are_made_of_packed_ones_and_stay(
    store: Store, landing: Path
) -> None:
    packed = committed(store, landing)
    land(landing, range(COUNT, COUNT + 1))
    single = committed(reopened(store, 0), landing)
    assert (len(places(packed)), len(places(single))) == (COUNT, 0)
    assert set(map(object_key, single.manifest["sha256"])) <= set(objects(store))
    assert store.registry.packed(single.manifest["sha256"]) == {}
    before = objects(store)
    land(landing, range(COUNT + 1, COUNT + 2))
    assert places(committed(store, landing)) == {}
    assert len(objects(store)) == len(before) + 1


FAULTS = ["entry", "directory", "cut off", "missing"]


def damage(store: Store, pack: str, offset: int, fault: str) -> None:
    """Damage a pack, so that the entry at the offset is lost, unless it is the directory's."""
    content = bytearray(store.workspace.get(pack_key(pack)))
    if fault == "missing":
        store.workspace.remove(pack_key(pack))
        return
    if fault == "cut off":
        del content[offset + 1 :]
    else:
        content[offset if fault == "entry" else -30] ^= 1
    store.workspace.put(pack_key(pack), bytes(content))


@pytest.mark.parametrize("fault", FAULTS)
def test_rehash_makes_a_damaged_pack_again_byte_for_byte(
    store: Store, landing: Path, fault: str
) -> None:
    dataset = committed(store, landing)
    pack = pack_of(dataset)
    damage(store, pack, places(dataset)["land/004.npy"][1], fault)
    assert verify_all(store).problems != []
    again = commit_of(store, landing, rehash=True)
    assert (again.version.version, again.created) == ("v1", False)
    assert "1 damaged pack(s) made again, byte for byte" in again.notes
    assert objects(store) == [pack_key(pack)]
    assert sha256_of(store.workspace.get(pack_key(pack))) == pack
    assert verify_all(store).problems == []
    land(landing, range(COUNT, COUNT + 1))
    assert places(committed(store, landing)) == places(dataset)


@pytest.mark.parametrize("fault", FAULTS)
def test_rehash_names_lost_files_of_older_versions_until_their_bytes_are_found(
    store: Store, landing: Path, fault: str
) -> None:
    first = committed(store, landing)
    pack = pack_of(first)
    last = max(places(first), key=lambda path: places(first)[path][1])
    gone = (landing / last).read_bytes()
    (landing / last).unlink()
    second = committed(store, landing)
    damage(store, pack, places(first)[last][1], fault)
    if fault != "directory":
        again = commit_of(store, landing, rehash=True)
        (note,) = (note for note in again.notes if "damaged" in note)
        assert note.startswith("1 file(s) of damaged packs are lost")
        assert f"tiles@v1: {last}" in note
        # readers take what is left of the pack, and single objects for the others
        for row in rows(second):
            assert stored_bytes(store, row) == (landing / row.path).read_bytes()
        singles = [key for key in objects(store) if key != pack_key(pack)]
        assert len(singles) == (COUNT - 1 if fault == "missing" else 0)
        (problem,) = verify_all(store).problems
        assert last in problem
        store.workspace.put_object(gone)
    again = commit_of(store, landing, rehash=True)
    assert "1 damaged pack(s) made again, byte for byte" in again.notes
    assert sha256_of(store.workspace.get(pack_key(pack))) == pack
    assert verify_all(store).problems == []


@pytest.mark.parametrize("known_by", ["index", "directory", None])
def test_rehash_makes_packs_again_with_entries_of_a_commit_that_published_nothing(
    store: Store, landing: Path, known_by: str | None
) -> None:
    pack = Pack()
    for path in sorted(landing.rglob("*.npy")):
        pack.add(sha256_of(path), path.read_bytes())
        if path.name == "004.npy":
            pack.add(sha256_of(b"unpublished"), b"unpublished")
    index = store.workspace.put_pack(pack)
    store.registry.remember_packed(index)
    dataset = committed(store, landing)
    name = index[sha256_of(b"unpublished")].pack
    assert pack_of(dataset) == name
    if known_by != "index":
        store.registry.forget_packed([sha256_of(b"unpublished")])
    fault = "cut off" if known_by is None else "entry"
    damage(store, name, places(dataset)["land/000.npy"][1], fault)
    again = commit_of(store, landing, rehash=True)
    (note,) = (note for note in again.notes if "damaged" in note)
    if known_by is None:
        assert "could not be made again" in note
        assert pack_key(name) in note
        (problem,) = verify_all(store).problems
        assert pack_key(name) in problem
    else:
        assert note == "1 damaged pack(s) made again, byte for byte"
        assert verify_all(store).problems == []


def test_rehash_makes_a_pack_again_that_another_dataset_has_filled(
    store: Store, landing: Path, tmp_path: Path
) -> None:
    dataset = committed(store, landing)
    pack = pack_of(dataset)
    store.registry.forget_packed([sha256_of(landing / "land/002.npy")])
    other = tmp_path / "other"
    land(other, range(40, COUNT))
    assert pack_of(committed(store, other, "others")) == pack
    damage(store, pack, places(dataset)["land/044.npy"][1], "entry")
    assert len(verify_all(store).problems) == 2
    commit_of(store, other, "others", rehash=True)
    assert verify_all(store).problems == []


@pytest.mark.parametrize("store", ["file"], indirect=True)
def test_a_pack_that_is_gone_from_a_folder_is_noticed_by_the_next_commit(
    store: Store, landing: Path
) -> None:
    dataset = committed(store, landing)
    pack = pack_of(dataset)
    store.workspace.remove(pack_key(pack))
    assert committed(store, landing).row.version == "v1"
    assert objects(store) == sorted(map(object_key, dataset.manifest["sha256"]))


def test_packs_are_filled_in_order_and_duplicates_across_them_found(
    store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packing, "PACK_BYTES", 6_000)
    monkeypatch.setattr(packing, "MANY", 4)
    for number in range(COUNT):
        (landing / "water" / f"z copy of {number}.npy").write_bytes(array(number))
    dataset = committed(store, landing)
    found = places(dataset)
    packs = list(dict.fromkeys(pack for pack, _ in found.values()))
    assert len(packs) > 2
    assert objects(store) == sorted(map(pack_key, packs))
    assert len(set(found.values())) == COUNT
    assert len(found) == 2 * COUNT


def test_a_file_that_grows_while_it_is_packed_publishes_nothing(
    store: Store, landing: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = folder_landing.FolderLanding.fetch

    def grow(self: Any, file: Any, folder: Path) -> Path:
        path = fetch(self, file, folder)
        if file.path == "land/070.npy":
            with path.open("ab") as stream:
                stream.write(b"more")
        return path

    with monkeypatch.context() as patch:
        patch.setattr(folder_landing.FolderLanding, "fetch", grow)
        with pytest.raises(StorageError, match=r"070\.npy changed while it was being stored"):
            committed(store, landing)
    assert store.registry.data_versions() == []
    (landing / "land" / "070.npy").write_bytes(array(70))
    dataset = committed(store, landing)
    assert sha256_of(landing / "land/070.npy") in set(dataset.manifest["sha256"])


@pytest.mark.parametrize("logged", [True, False])
def test_the_index_is_rebuilt_from_the_workspace_alone(
    store: Store, landing: Path, tmp_path: Path, logged: bool
) -> None:
    dataset = committed(store, landing)
    index = store.registry.packed(dataset.manifest["sha256"])
    assert len(index) == COUNT
    if not logged:
        for key in list(store.workspace.list(LOG)):
            store.workspace.remove(key)
    url = f"sqlite:///{tmp_path / 'rebuilt.db'}"
    reindex(store.workspace, url, local("tester"))
    rebuilt = Store(store.workspace, Registry(url))
    assert rebuilt.registry.packed(dataset.manifest["sha256"]) == index
    before = objects(store)
    land(landing, range(COUNT, COUNT + 1))
    assert places(committed(rebuilt, landing)) == places(dataset)
    assert len(objects(store)) == len(before) + 1
    assert verify_all(rebuilt).problems == []


def test_verifying_everything_reads_packs_and_names_what_is_damaged(
    store: Store, landing: Path
) -> None:
    dataset = committed(store, landing)
    stray = Pack()
    stray.add(sha256_of(b"left by an interrupted commit"), b"left by an interrupted commit")
    stray_key = pack_key(next(iter(store.workspace.put_pack(stray).values())).pack)
    assert verify_all(store).problems == []
    for key in objects(store):
        content = bytearray(store.workspace.get(key))
        content[100] ^= 1  # of the first entry
        store.workspace.put(key, bytes(content))
    first = min(places(dataset).items(), key=lambda item: item[1][1])[0]
    problems = sorted(verify_all(store).problems)
    assert [problem.split(": ")[0] for problem in problems] == [stray_key, "tiles@v1"]
    assert first in problems[1]


def committing(store: Store, landing: Path, die_before: int) -> int | None:
    """Commit into small packs in a fork, killed before one of its durable operations.

    Returns:
        Its exit status.
    """
    interpreter.start_server()
    names = ("AWS_", "no_proxy")
    environment = {name: value for name, value in os.environ.items() if name.startswith(names)}
    workspace = store.workspace
    process = multiprocessing.get_context("forkserver").Process(
        target=_commit_here,
        args=(workspace.url, workspace.cache, store.registry.url, landing, die_before, environment),
    )
    process.start()
    process.join(60)
    return process.exitcode


def _commit_here(
    url: str,
    cache: Path,
    registry: str,
    landing: Path,
    die_before: int,
    environment: Mapping[str, str],
) -> None:
    os.environ.update(environment)
    folder_landing.CLOCK_SECONDS = -3600.0
    small: Any = packing
    small.PACK_BYTES, small.MANY = 6_000, 4
    left = iter(range(die_before, -1, -1))

    def die(_operation: str) -> None:
        if next(left) == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    with watched(Path(urlsplit(url).path), die):
        committed(Store(Workspace(url, cache, BELOW), Registry(registry)), landing)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_wherever_a_commit_is_killed_the_next_one_uses_all_that_it_has_stored(
    store: Store, tmp_path: Path
) -> None:
    landing = tmp_path / "landing"
    land(landing, range(45))
    place = store.workspace.url
    digests = set()
    for number in itertools.count():
        one = Store(
            Workspace(f"{place}/{number}", tmp_path / f"cache {number}", BELOW),
            Registry(f"sqlite:///{tmp_path / f'{number}.db'}"),
        )
        ended = committing(one, landing, number)
        assert ended in (0, -signal.SIGKILL)
        if ended == 0:
            assert number > 8
        before = objects(one)
        assert committing(one, landing, 1 << 20) == 0
        assert set(before) <= set(objects(one))
        (row,) = one.registry.data_versions()
        digests.add(row.digest)
        dataset = CommittedDataset.open(one.workspace, one.registry, Reference("tiles"))
        packs = {pack for pack, _ in places(dataset).values()}
        singles = dataset.manifest.loc[dataset.manifest["pack"].isna(), "sha256"]
        assert objects(one) == sorted([*map(pack_key, packs), *map(object_key, singles)])
        assert verify_all(one).problems == []
        one.registry.close()
        if ended == 0:
            break
    assert len(digests) == 1


def test_rasters_in_packs_are_opened_by_gdal_from_the_hrefs_of_manifest_and_records(
    tmp_path: Path,
) -> None:
    landing = tmp_path / "landing"
    landing.mkdir()
    for number in range(packing.MANY):
        path = landing / ("land", "water")[number % 2] / f"{number:03d}.tif"
        path.parent.mkdir(exist_ok=True)
        place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600_000, 0, -10, 5_300_000)}
        write_raster(path, np.full((1, 4, 4), number, np.uint16), **place)
    workspace = Workspace((tmp_path / "workspace").as_uri())
    store = Store(workspace, Registry(f"sqlite:///{tmp_path / 'registry.db'}"))
    dataset = committed(store, landing)
    write_dataset_record(store.workspace, store.registry, dataset)
    folder = version_folder("tiles", "v1")
    table = pq.read_table(workspace.root / folder / "manifest.parquet")
    assets = [row["data"] for row in table["assets"].to_pylist()]
    opened = {asset["file:local_path"]: workspace.root / folder / asset["href"] for asset in assets}
    for item in (workspace.root / dataset_record_folder("tiles", "v1")).glob("*/*.json"):
        image = json.loads(item.read_text())["assets"]["image"]
        target = item.parent / image["href"]
        assert target.resolve() == opened[image["title"]].resolve()
    assert len(opened) == packing.MANY
    for path, target in opened.items():
        with rasterio.open(f"/vsizip/{target.resolve()}") as raster:
            assert raster.read().max() == int(Path(path).stem)
