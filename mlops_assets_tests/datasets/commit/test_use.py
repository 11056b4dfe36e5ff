"""A data version of another workspace: the same digest here, and the bytes there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.commit.use import use
from mlops_assets.datasets.recall.recall import recall
from mlops_assets.datasets.recall.verify import verify
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.datasets.versions.manifest import read_manifest
from mlops_assets.errors import DataProblems, IntegrityError, MlopsError, NotFound, StorageError
from mlops_assets.lineage.chain import data_lineage
from mlops_assets.names import Reference
from mlops_assets.paths import PACKS, dataset_collection_key, object_key
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.reindex.reindex import reindex
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.servers.buckets import Bucket

SMALL = 40  # files: enough for a pack
RECORD = dataset_collection_key("fields", "v1")
OWN = ["href", "pack"]  # columns of the manifest that say where the bytes are
Publish = Callable[[str], Store]


@pytest.fixture
def publish(tmp_path: Path, _empty_registry: bytes) -> Publish:
    """Publish a recorded version in another workspace: small files in a pack, one large."""

    def published(url: str) -> Store:
        database = tmp_path / "other.db"
        database.write_bytes(_empty_registry)
        registry = Registry(f"sqlite:///{database}").acting(local("neighbour"))
        store = Store(Workspace(url, tmp_path / "cache", pack_below=4000), registry)
        landing = tmp_path / "landed"
        landing.mkdir()
        for number in range(SMALL):
            crops_table(20, number).to_csv(landing / f"{number:02d}.csv", index=False)
        crops_table(200, SMALL).to_csv(landing / "large.csv", index=False)
        source = {"url": landing.as_uri(), "layout": "table", "table": {"label": "crop"}}
        commit(store.workspace, store.registry, table_specification(source=source))
        opened = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
        assert opened.manifest["pack"].notna().sum() == SMALL
        write_dataset_record(store.workspace, store.registry, opened)
        return store

    return published


@pytest.fixture
def other(publish: Publish, tmp_path: Path) -> Store:
    return publish((tmp_path / "other").as_uri())


def opened(store: Store, name: str) -> CommittedDataset:
    return CommittedDataset.open(store.workspace, store.registry, Reference(name))


def stored(store: Store) -> list[str]:
    return [key for key in store.workspace.list("") if key.startswith("objects/")]


def faults(store: Store, name: str = "shared") -> set[str]:
    return {
        damage.fault for damage in verify(store.workspace, store.registry, Reference(name)).damages
    }


def assert_used(store: Store, other: Store, tmp_path: Path) -> None:
    before = sorted(other.workspace.list(""))
    record = f"{other.workspace.url}/{RECORD}"
    used = use(store.workspace, store.registry, "shared", record)
    theirs, ours = opened(other, "fields"), opened(store, "shared")
    assert (used.created, used.version.version) == (True, "v1")
    assert used.version.digest == theirs.row.digest
    columns = [name for name in theirs.manifest if name not in OWN]
    pd.testing.assert_frame_equal(ours.manifest[columns], theirs.manifest[columns])
    pd.testing.assert_frame_equal(ours.samples, theirs.samples)
    assert ours.document.summary is not None
    assert ours.document.summary.kept_by_reference == SMALL + 1
    # the bytes are those of the other workspace, and none are here
    assert stored(store) == []
    recall(ours, tmp_path / "recalled")
    for path in (tmp_path / "landed").iterdir():
        assert (tmp_path / "recalled" / path.name).read_bytes() == path.read_bytes()
    found = verify(store.workspace, store.registry, Reference("shared"))
    assert (found.passed, found.files) == (True, SMALL + 1), found.damages
    assert data_lineage(store, used.version).landing == record
    write_dataset_record(store.workspace, store.registry, ours)
    # once more, nothing is new; and the other workspace was only read
    again = use(store.workspace, store.registry, "shared", record)
    assert (again.created, again.version.version) == (False, "v1")
    assert sorted(other.workspace.list("")) == before


def test_a_version_in_another_folder_is_used_without_a_copy(
    store: Store, other: Store, tmp_path: Path
) -> None:
    assert_used(store, other, tmp_path)


def test_a_version_in_a_bucket_is_used_without_a_copy(
    store: Store, publish: Publish, s3: Bucket, tmp_path: Path
) -> None:
    assert_used(store, publish(f"{s3.url}/team"), tmp_path)


def test_bytes_that_change_or_vanish_there_are_reported_here(store: Store, other: Store) -> None:
    use(store.workspace, store.registry, "shared", f"{other.workspace.url}/{RECORD}")
    assert faults(store) == set()
    manifest = opened(other, "fields").manifest
    (large,) = manifest.loc[manifest["path"] == "large.csv", "sha256"]
    single = other.workspace.root / object_key(str(large))
    single.chmod(0o644)
    single.write_bytes(single.read_bytes()[:-1] + b"x")
    assert faults(store) == {"changed"}
    (pack,) = (other.workspace.root / PACKS).rglob("*.zip")
    pack.rename(pack.with_suffix(".gone"))
    assert faults(store) == {"changed", "missing"}
    with pytest.raises(IntegrityError, match=rf"{other.workspace.url}/objects.* not as it was"):
        opened(store, "shared").local_path("large.csv")
    shutil.rmtree(other.workspace.root)
    assert faults(store) == {"missing"}
    with pytest.raises(StorageError, match=rf"{other.workspace.url} is not there"):
        opened(store, "shared").local_path("00.csv")


def test_a_registry_rebuilt_from_the_workspace_still_has_the_version(
    store: Store, other: Store, tmp_path: Path
) -> None:
    used = use(store.workspace, store.registry, "shared", f"{other.workspace.url}/{RECORD}")
    url = f"sqlite:///{tmp_path / 'rebuilt.db'}"
    operator = local("operator")
    reindex(store.workspace, url, operator)
    rebuilt = Store(store.workspace, Registry(url).acting(operator))
    assert opened(rebuilt, "shared").row.digest == used.version.digest
    assert faults(rebuilt) == set()


def test_a_later_commit_of_the_dataset_stores_its_own_bytes(store: Store, other: Store) -> None:
    use(store.workspace, store.registry, "fields", f"{other.workspace.url}/{RECORD}")
    landing = store.workspace.root / "landing/fields"
    landing.mkdir(parents=True)
    crops_table().to_csv(landing / "a.csv", index=False)
    found = commit(store.workspace, store.registry, table_specification())
    assert (found.version.version, opened(store, "fields").document.shared) == ("v2", None)
    assert faults(store, "fields") == set()


# what is refused: nothing is published


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.pop("assets"),
        lambda record: record["assets"].pop("manifest"),
        lambda record: record["assets"]["samples"].update(href="../../../../../outside"),
        lambda record: record["assets"]["samples"].update({"file:checksum": "1220" + 64 * "0"}),
    ],
    ids=["no assets", "no manifest", "outside", "checksum"],
)
def test_a_record_that_states_something_else_is_refused(
    store: Store, other: Store, change: Callable[[dict[str, object]], object]
) -> None:
    path = other.workspace.root / RECORD
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(IntegrityError, match=r"collection\.json"):
        use(store.workspace, store.registry, "shared", path.as_uri())
    assert store.registry.data_versions() == []


@pytest.mark.parametrize(
    ("url", "kind", "problem"),
    [
        ("s3://me:hush@bucket/catalog/datasets/a/v1/collection.json", NotFound, "credentials"),
        ("https://example.org/catalog/datasets/a/v1/collection.json", NotFound, "is not the rec"),
        ("file:///absent/catalog/datasets/a/v1/collection.json", StorageError, "absent"),
        ("crops@v1", NotFound, "give the URL of its Collection"),
    ],
)
def test_a_record_that_cannot_be_read_is_named(
    store: Store, url: str, kind: type[MlopsError], problem: str
) -> None:
    with pytest.raises(kind, match=problem) as raised:
        use(store.workspace, store.registry, "shared", url)
    assert "hush" not in str(raised.value)
    assert not Path("/absent").exists()


def test_paths_that_leave_a_folder_are_refused(
    store: Store, publish: Publish, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # as another release, or somebody else, could have written them
    module = "mlops_assets.datasets.commit.use"
    other = publish((tmp_path / "other").as_uri())

    def escaping(content: bytes) -> pd.DataFrame:
        manifest = read_manifest(content)
        return manifest.assign(path=manifest["path"].replace("large.csv", "../large.csv"))

    digest = opened(other, "fields").row.digest
    monkeypatch.setattr(f"{module}.read_manifest", escaping)
    monkeypatch.setattr(f"{module}.digest_of_documents", lambda *_: digest)
    with pytest.raises(DataProblems, match="leads out of the landing"):
        use(store.workspace, store.registry, "shared", f"{other.workspace.url}/{RECORD}")
    assert store.registry.data_versions() == []
