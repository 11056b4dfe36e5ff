"""Every remote landing lists, fetches and reports changes alike, and commits to equal versions."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import obstore
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.sources import open_landing
from mlops_assets.datasets.specification.source import Source
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import DataProblems, StorageError
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.testing.sources import LandingPlace, ListingSourceContract, SourceContract
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.datasets.places import LANDING, FolderPlace, Place, place, place_on
from mlops_assets_tests.datasets.readers.landed_scenes import SCENES
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket
from mlops_assets_tests.servers.web import WebFolder

__all__ = ["place"]
RawBucket = tuple[Bucket, Callable[[str, bytes], None]]


class TestWebSource(SourceContract):
    @pytest.fixture
    def place(self, https_folder: WebFolder) -> Place:
        return place_on(https_folder)


class TestListingSource(ListingSourceContract):
    @pytest.fixture(
        params=[
            "folder",
            *(pytest.param(name, marks=pytest.mark.services) for name in ("s3", "az", "gs")),
        ]
    )
    def place(self, request: pytest.FixtureRequest, tmp_path: Path) -> LandingPlace:
        if request.param == "folder":
            return FolderPlace(tmp_path / "landing")
        return place_on(request.getfixturevalue(request.param))


@pytest.mark.services
@pytest.mark.parametrize("url", ["s3://no-such-bucket/landing", "az://no-such-container/landing"])
def test_a_missing_bucket_is_an_error_with_its_remedy(
    request: pytest.FixtureRequest, url: str, store: Store
) -> None:
    request.getfixturevalue(url[:2])
    landing = open_landing(store.workspace, Source.model_validate({"url": url, "layout": "scenes"}))
    with pytest.raises(StorageError, match=rf"{url}.*; "):
        landing.list()


def test_neighbours_are_not_landed(bucket: Bucket) -> None:
    place = place_on(bucket)
    place.put("a.csv", b"x")
    bucket.put("landing/fields_2/a.csv", b"x")
    assert [file.path for file in place.open().list()] == ["a.csv"]


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("d\te.csv", "e.csv"),
        ("a//b.csv", "b.csv"),
        ("../x.csv", "fields/../"),
        ("./y.csv", "fields/./"),
    ],
)
def test_a_key_that_is_not_a_valid_path_is_named_with_the_remedy(
    raw_s3: RawBucket, key: str, named: str
) -> None:
    bucket, put = raw_s3
    put(f"{LANDING}/{key}", b"x")
    with pytest.raises((StorageError, DataProblems), match=r"(?s)landing/fields.*rename") as raised:
        place_on(bucket).open().list()
    assert named in str(raised.value)


def test_the_markers_that_consoles_make_for_folders_are_not_landed(
    raw_s3: RawBucket, tmp_path: Path
) -> None:
    bucket, put = raw_s3
    for key in ("", "a/", "a/b/", "a/b/c.csv"):
        put(f"{LANDING}/{key}", b"x" if key.endswith("csv") else b"")
    landing = place_on(bucket).open()
    [file] = landing.list()
    assert file.path == "a/b/c.csv"
    assert landing.fetch(file, tmp_path / "fetched").read_bytes() == b"x"


def test_more_objects_than_a_page_holds_are_all_listed(s3: Bucket) -> None:
    names, target = [f"{number:04}.csv" for number in range(1001)], s3.store
    with ThreadPoolExecutor(16) as pool:
        list(pool.map(lambda name: obstore.put(target, f"{LANDING}/{name}", b"x"), names))
    assert [file.path for file in place_on(s3).open().list()] == names


def test_a_table_commits_to_the_version_it_has_on_a_local_folder(
    place: Place, store: Store, tmp_path: Path
) -> None:
    landed = store.workspace.root / "landing" / "fields"
    _write_tables(landed)
    place.land(landed)
    remote = _another_store(tmp_path)
    here = commit(store.workspace, store.registry, table_specification())
    there = commit(remote.workspace, remote.registry, table_specification(source=place.source()))
    assert there.created
    assert there.version.digest == here.version.digest


def test_scenes_commit_and_are_read_back(place: Place, store: Store, tmp_path: Path) -> None:
    labels = write_scene(tmp_path / "scene")
    place.land(tmp_path / "scene")
    specification = scenes_specification(source=place.source(layout="scenes", scenes={"size": 3}))
    version = commit(store.workspace, store.registry, specification).version
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference("scenes", version.version)
    )
    assert set(committed.manifest["path"]) == {"images/a.tif", "labels/a.tif"}
    assert len(committed.samples) == (labels > 0).sum()
    for path in committed.manifest["path"]:
        assert committed.local_path(path).read_bytes() == (tmp_path / "scene" / path).read_bytes()


def test_rasters_with_headers_beside_them_commit_to_the_version_they_have_on_a_local_folder(
    place: Place, store: Store, tmp_path: Path
) -> None:
    raw = next(found for found in SCENES if found.name == "raw files with headers")
    raw.land(store.workspace.root / "landing" / "data", 3)
    here = commit(store.workspace, store.registry, raw.specification()).version
    remote = _another_store(tmp_path)
    place.land(store.workspace.root / "landing" / "data")
    there = raw.specification().model_copy(
        update={"source": Source.model_validate(place.source(**raw.source))}
    )
    assert commit(remote.workspace, remote.registry, there).version.digest == here.digest
    place.put(
        next(path for path in place.named if path.endswith(".hdr")), b"ENVI\nsamples = none\n"
    )
    # of files that are known but for it
    with pytest.raises(DataProblems, match=r"images/.*\.img: cannot be read"):
        commit(remote.workspace, remote.registry, there)


def test_a_landing_and_a_workspace_in_one_bucket(bucket: Bucket, tmp_path: Path) -> None:
    _write_tables(tmp_path / "tables")
    place = place_on(bucket)
    place.land(tmp_path / "tables")
    workspace = Workspace(bucket.url, tmp_path / "cache")
    registry = Registry(f"sqlite:///{tmp_path / 'registry.db'}")
    specification = table_specification()  # its landing is relative to the workspace
    version = commit(workspace, registry, specification).version
    assert not commit(workspace, registry, specification).created
    other = Workspace(bucket.url, tmp_path / "cache of another machine")
    committed = CommittedDataset.open(other, registry, Reference("fields", version.version))
    for path in ("a.csv", "b.csv"):
        assert committed.local_path(path).read_bytes() == (tmp_path / "tables" / path).read_bytes()
    assert {path.split("/")[0] for path in bucket.paths()} == {"landing", "objects", "datasets"}


def test_what_was_committed_is_not_downloaded_again(
    faulty_s3: FaultyBucket, store: Store, tmp_path: Path
) -> None:
    write_scene(tmp_path / "scene", "a")
    write_scene(tmp_path / "scene", "b", seed=1)
    place, faults = place_on(faulty_s3), faulty_s3.faults
    place.land(tmp_path / "scene")
    specification = scenes_specification(source=place.source(layout="scenes", scenes={"size": 3}))
    assert commit(store.workspace, store.registry, specification).created
    assert len(faults.asked("GET */landing/*.tif")) == 4  # each file once
    assert not commit(store.workspace, store.registry, specification).created
    assert len(faults.asked("GET */landing/*.tif")) == 4
    write_scene(tmp_path / "scene", "b", seed=2)
    place.put("images/b.tif", tmp_path / "scene" / "images" / "b.tif")
    assert commit(store.workspace, store.registry, specification).version.version == "v2"
    assert faults.asked("GET */landing/*.tif")[4:] == [
        f"GET /{faulty_s3.url[5:]}/landing/fields/images/b.tif"
    ]


def _another_store(tmp_path: Path) -> Store:
    workspace = Workspace((tmp_path / "another").as_uri())
    return Store(workspace, Registry("sqlite://").acting(local("tester")))


def _write_tables(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for seed, name in enumerate(("a.csv", "b.csv")):
        crops_table(seed=seed).to_csv(folder / name, index=False)
