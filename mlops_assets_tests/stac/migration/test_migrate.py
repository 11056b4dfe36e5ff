"""Records as an earlier release wrote them, and the same after migration."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Callable
from typing import Any

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import Forbidden, NotFound
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.paths import (
    CATALOG_OWNER,
    CATALOG_ROOT,
    dataset_collection_key,
    model_item_key,
    owner_of,
)
from mlops_assets.principals import Principal, Role
from mlops_assets.stac.catalog import CatalogWriter
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.stac.migration.migrate import migrate_records
from mlops_assets.stac.mlm.version import DEFAULT
from mlops_assets.stac.training_dml import TRAINING_DML
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

LATER = {"title": "Fields", "license": "CC-BY-4.0", "keywords": ["agriculture"]}
NEW_FIELDS = ("keywords", "mlops:metric_intervals", "mlm:memory_size", "mlops:data_license")


@pytest.fixture
def records(store: Store, land_table: Callable[..., Commit]) -> Store:
    """Two versions of a dataset, described anew since, and of a model; all recorded."""
    for number in (1, 2):
        land_table(crops_table(200 + number), table_specification(units={"ndvi_01": "1"}))
        if number == 1:
            _describe(store)
        lifecycle(
            store,
            model_specification(title="Crops", license="MIT", keywords=["cereals"]),
            f"v{number}",
            recorded=True,
        )
    return store


def _describe(store: Store) -> None:
    reference = Reference("fields", "v1")
    committed = CommittedDataset.open(store.workspace, store.registry, reference)
    described = committed.described_as(table_specification(units={"ndvi_01": "1"}, **LATER))
    write_dataset_record(store.workspace, store.registry, described)


def documents(store: Store) -> dict[str, Any]:
    return {key: json.loads(store.workspace.get(key)) for key in store.workspace.list("catalog")}


def age(store: Store) -> dict[str, Any]:
    """Publish the records as an earlier release wrote them; return them."""
    writer = CatalogWriter(store.workspace, store.registry)
    for key, found in documents(store).items():
        owner = owner_of(key)
        assert owner is not None
        if posixpath.basename(key) in ("catalog.json", TRAINING_DML):
            continue
        for fields in (found, found.get("properties", {})):
            for name in NEW_FIELDS:
                fields.pop(name, None)
        found["stac_extensions"] = [
            uri.replace("/mlm/v1.5.2/", "/mlm/v1.6.0/") for uri in found.get("stac_extensions", [])
        ]
        found["links"].append({"rel": "latest-version", "href": "./other.json"})
        writer.write(key, found, owner)
    with writer.publishing() as files:
        store.registry.add_records(files)
    return documents(store)


def test_what_would_change_is_listed_and_nothing_is_written(records: Store) -> None:
    old = age(records)
    head = records.registry.newest_entry()
    found = {own.subject: own for own in migrate_records(records)}
    assert documents(records) == old and records.registry.newest_entry() == head
    row = records.registry.model_versions("crops")[0]
    changes = found[f"crops@{row.version}"].documents[model_item_key("crops", row.version)]
    assert f"stac_extensions[0]: {DEFAULT.replace('v1.5.2', 'v1.6.0')} → {DEFAULT}" in changes
    assert any(line.startswith("properties.mlm:memory_size: not set → ") for line in changes)
    assert any(line.startswith("links: removed ") for line in changes)
    names = ("fields@v1", "fields@v2", *(f"crops@{own.version}" for own in rows(records)), "crops")
    assert found.keys() == set(names) and not any(own.error for own in found.values())


def test_the_root_which_all_share_is_listed_once(records: Store) -> None:
    writer = CatalogWriter(records.workspace, records.registry)
    writer.write(CATALOG_ROOT, {**documents(records)[CATALOG_ROOT], "x": 1}, CATALOG_OWNER)
    with writer.publishing() as files:
        records.registry.add_records(files)
    found = list(migrate_records(records))
    assert [key for own in found for key in own.documents] == [CATALOG_ROOT]


def rows(store: Store) -> list[Any]:
    return store.registry.model_versions("crops")


def test_migrated_records_are_those_of_this_release(records: Store) -> None:
    new = documents(records)
    changed = {own for own, before in age(records).items() if new[own] != before}
    written = list(migrate_records(records, apply=True))
    assert {key for own in written for key in own.documents} == changed
    after = documents(records)
    # what was dropped from old records cannot come back
    for document in new.values():
        own = document.get("properties", document)
        for lost in {"agriculture", "cereals"} & set(own.get("keywords", [])):
            own["keywords"].remove(lost)
    assert after == new
    assert list(migrate_records(records)) == []
    assert verify_all(records).passed


def test_records_of_this_release_do_not_change(records: Store) -> None:
    assert list(migrate_records(records)) == []
    found = documents(records)[dataset_collection_key("fields", "v1")]
    assert found["license"] == LATER["license"] and "agriculture" in found["keywords"]


def test_a_record_that_cannot_be_read_leaves_the_others_alone(records: Store) -> None:
    age(records)
    damaged = model_item_key("crops", rows(records)[0].version)
    records.workspace.put(damaged, b"{}")
    found = list(migrate_records(records, apply=True))
    errors = {own.subject: own.error for own in found if own.error}
    assert f"crops@{rows(records)[0].version}" in errors
    assert all(error is not None and damaged in error for error in errors.values())
    newest = documents(records)[model_item_key("crops", rows(records)[1].version)]
    assert newest["stac_extensions"][0] == DEFAULT
    assert records.workspace.get(damaged) == b"{}"


def test_only_what_is_named_is_migrated(records: Store) -> None:
    age(records)
    assert {own.subject for own in migrate_records(records, ["fields"])} == {
        "fields@v1",
        "fields@v2",
    }
    with pytest.raises(NotFound, match="no version of barley has a record"):
        list(migrate_records(records, ["barley"]))


def test_a_viewer_may_look_and_not_migrate(records: Store) -> None:
    old = age(records)
    viewer = records.acting(Principal("guest", frozenset({Role.VIEWER})))
    with pytest.raises(Forbidden, match="scientist"):
        list(migrate_records(viewer, apply=True))
    assert documents(records) == old
