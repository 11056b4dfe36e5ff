"""Verifying a data version.

Everything that is not as it was published is reported, and nothing else.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.recall.objects import stored_files
from mlops_assets.datasets.recall.verify import damaged_files, verify
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import NotFound
from mlops_assets.names import Reference
from mlops_assets.paths import Owner
from mlops_assets.principals import local
from mlops_assets.progress import listening
from mlops_assets.registry import Registry
from mlops_assets.registry.schema import DataVersion
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.datasets.committed_images import (
    damage,
    image,
    images,
    images_specification,
    land_images,
    object_path,
)
from mlops_assets_tests.servers.buckets import Bucket, FaultyBucket
from mlops_assets_tests.servers.web import WebFolder
from mlops_assets_tests.steps import Steps

TILES = Reference("tiles")


@pytest.fixture
def committed(store: Store) -> CommittedDataset:
    return land_images(store)


def found(store: Store, reference: Reference = TILES) -> dict[str, str]:
    """Path → fault."""
    return {
        damage.path: damage.fault
        for damage in verify(store.workspace, store.registry, reference).damages
    }


def test_a_version_as_published_passes(store: Store, committed: CommittedDataset) -> None:
    result = verify(store.workspace, store.registry, TILES)
    assert (result.passed, result.damages) == (True, [])
    assert (result.reference, result.files, result.documents) == ("tiles@v1", 12, 3)
    documents = store.registry.files(Owner("data:tiles@v1"))
    assert result.size == sum(map(len, images().values())) + sum(file.size for file in documents)


def test_every_kind_of_damage_is_reported(store: Store, committed: CommittedDataset) -> None:
    paths = sorted(images())
    damage(object_path(store, committed, paths[0]))
    damage(object_path(store, committed, paths[1]), b"short")
    object_path(store, committed, paths[2]).unlink()
    object_path(store, committed, paths[3]).unlink()
    object_path(store, committed, paths[3]).mkdir()
    result = verify(store.workspace, store.registry, TILES)
    assert {d.path: d.fault for d in result.damages[:3]} == {
        paths[0]: "changed",
        paths[1]: "size",
        paths[2]: "missing",
    }
    assert [d.path for d in result.damages] == paths[:4]
    assert not result.passed
    assert "has 5 bytes, not" in result.damages[1].detail


def test_one_object_behind_several_files_is_reported_for_each(store: Store) -> None:
    committed = land_images(
        store, {**images(), "test/wheat/copy.npy": images()["test/wheat/1.npy"]}
    )
    damage(object_path(store, committed, "test/wheat/copy.npy"))
    assert found(store) == {"test/wheat/1.npy": "changed", "test/wheat/copy.npy": "changed"}


@pytest.mark.parametrize("name", ["manifest.parquet", "samples.parquet", "version.json"])
def test_a_damaged_document_is_reported_and_the_others_are_read(
    store: Store, committed: CommittedDataset, name: str
) -> None:
    path = f"datasets/tiles/v1/{name}"
    damage(store.workspace.root / path)
    assert found(store) == {path: "changed"}
    damage(store.workspace.root / path, b"")
    assert found(store) == {path: "size"}
    (store.workspace.root / path).unlink()
    assert found(store) == {path: "missing"}


def test_a_digest_that_does_not_match_the_manifest_is_reported(
    store: Store, committed: CommittedDataset
) -> None:
    with store.registry.transaction("change") as session:
        row = session.get(DataVersion, ("tiles", "v1"))
        assert row is not None
        row.digest = "0" * 64
    assert found(store) == {"tiles@v1": "digest"}


def test_only_the_version_that_is_named_is_verified(
    store: Store, committed: CommittedDataset
) -> None:
    second = land_images(store, {**images(), "test/wheat/3.npy": image(77)})
    damage(object_path(store, second, "test/wheat/3.npy"))
    assert found(store, Reference("tiles", "v1")) == {}
    assert found(store) == {"test/wheat/3.npy": "changed"}


def test_a_version_that_does_not_exist_is_reported(
    store: Store, committed: CommittedDataset
) -> None:
    with pytest.raises(NotFound, match="tiles@v9 is not known; tiles has v1"):
        verify(store.workspace, store.registry, Reference("tiles", "v9"))


def test_progress_is_reported_of_every_object_once(store: Store) -> None:
    land_images(store, {**images(), "test/wheat/copy.npy": images()["test/wheat/1.npy"]})
    with listening(Steps()) as steps:
        verify(store.workspace, store.registry, TILES)
    (reading,) = steps
    assert (reading.total, reading.done, reading.done_size) == (12, 12, reading.size)


def remote(store: Store, bucket: Bucket) -> CommittedDataset:
    """Commit the images in a workspace in a bucket."""
    for path, content in images().items():
        bucket.put(f"workspace/landing/tiles/{path}", content)
    commit(store.workspace, store.registry, images_specification())
    return CommittedDataset.open(store.workspace, store.registry, TILES)


def test_a_workspace_in_a_bucket_is_verified(s3: Bucket, tmp_path: Path) -> None:
    store = Store(
        Workspace(f"{s3.url}/workspace", tmp_path / "cache"),
        Registry("sqlite://").acting(local("tester")),
    )
    committed = remote(store, s3)
    assert found(store) == {}
    keys = [
        f"objects/sha256/{file.sha256[:2]}/{file.sha256[2:]}"
        for file in stored_files(committed.manifest)[:3]
    ]
    s3.put(f"workspace/{keys[0]}", image(99))
    s3.put(f"workspace/{keys[1]}", b"short")
    s3.delete(f"workspace/{keys[2]}")
    paths = sorted(images())
    assert found(store) == {paths[0]: "changed", paths[1]: "size", paths[2]: "missing"}


def test_a_server_that_refuses_is_reported_for_each_file(
    faulty_s3: FaultyBucket, tmp_path: Path
) -> None:
    store = Store(
        Workspace(f"{faulty_s3.url}/workspace", tmp_path / "cache"),
        Registry("sqlite://").acting(local("tester")),
    )
    committed = remote(store, faulty_s3)
    sha256 = stored_files(committed.manifest)[4].sha256
    faulty_s3.faults.add(f"*{sha256[2:]}", status=403)
    assert found(store) == {sorted(images())[4]: "unreadable"}


def test_files_kept_by_reference_are_read_where_they_are(
    store: Store, committed: CommittedDataset, https_folder: WebFolder
) -> None:
    for path, content in images().items():
        (https_folder.folder / path).parent.mkdir(parents=True, exist_ok=True)
        (https_folder.folder / path).write_bytes(content)
    elsewhere = committed.manifest.assign(href=https_folder.url + "/" + committed.manifest["path"])
    version = dataclasses.replace(committed, manifest=elsewhere)
    # what is in the cache does not hide what has become of the file
    version.local_path("test/wheat/1.npy")
    files = stored_files(elsewhere)
    assert damaged_files(store.workspace, files)[0] == []
    (https_folder.folder / "test/wheat/1.npy").write_bytes(image(99))
    (https_folder.folder / "test/wheat/2.npy").unlink()
    damages, _ = damaged_files(store.workspace, files)
    assert {d.path: d.fault for d in damages} == {
        "test/wheat/1.npy": "changed",
        "test/wheat/2.npy": "missing",
    }
