"""A record is linked to its neighbours, whichever were recorded first, and to no others."""

from __future__ import annotations

import posixpath

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.paths import dataset_catalog_key, dataset_collection_key
from mlops_assets.stac.catalog import read_record
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification


def test_versions_are_linked_whichever_is_recorded_first(store: Store) -> None:
    folder = store.workspace.root / "landing/fields"
    folder.mkdir(parents=True)
    for number in (1, 2, 3, 4):
        crops_table(200 + number).to_csv(folder / "samples.csv", index=False)
        commit(store.workspace, store.registry, table_specification())
    for number in (1, 3, 2):
        record(store, number)
    # records that are no neighbours are not read
    (store.workspace.root / key_of(1)).write_bytes(b"damaged")
    record(store, 4)
    assert related(store, 2) == {"predecessor-version": key_of(1), "successor-version": key_of(3)}
    assert related(store, 3) == {"predecessor-version": key_of(2), "successor-version": key_of(4)}
    assert related(store, 4) == {"predecessor-version": key_of(3)}
    parent = dataset_catalog_key("fields")
    links = read_record(store.workspace, store.registry, parent)["links"]
    children = [target(parent, entry) for entry in links if entry["rel"] == "child"]
    assert children == [key_of(number) for number in (1, 2, 3, 4)]


def record(store: Store, number: int) -> None:
    reference = Reference("fields", f"v{number}")
    committed = CommittedDataset.open(store.workspace, store.registry, reference)
    write_dataset_record(store.workspace, store.registry, committed)


def key_of(number: int) -> str:
    return dataset_collection_key("fields", f"v{number}")


def related(store: Store, number: int) -> dict[object, str]:
    key = key_of(number)
    links = read_record(store.workspace, store.registry, key)["links"]
    return {
        entry["rel"]: target(key, entry) for entry in links if str(entry["rel"]).endswith("version")
    }


def target(key: str, link: dict[str, object]) -> str:
    return posixpath.normpath(posixpath.join(posixpath.dirname(key), str(link["href"])))
