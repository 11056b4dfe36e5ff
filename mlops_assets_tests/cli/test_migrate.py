"""`mlops migrate` as it is typed."""

from __future__ import annotations

import json
from collections.abc import Callable

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.paths import model_item_key, record_owner
from mlops_assets.stac.catalog import CatalogWriter
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


def test_a_record_of_an_earlier_release_is_listed_and_then_written(
    store: Store, land_table: Callable[..., Commit], mlops: Mlops
) -> None:
    land_table()
    row = lifecycle(store, model_specification(), recorded=True)
    assert "all records are as this release writes them" in mlops("migrate").out
    key = model_item_key(row.model, row.version)
    new = store.workspace.get(key)
    old = json.loads(new)
    del old["properties"]["mlm:memory_size"]
    writer = CatalogWriter(store.workspace, store.registry)
    writer.write(key, old, record_owner(row.model, row.version))
    with writer.publishing() as files:
        store.registry.add_records(files)
    listed = mlops("migrate")
    assert key in listed.out and "properties.mlm:memory_size: not set → " in listed.out
    assert "1 document(s) would be written" in listed.out and "--apply" in listed.err
    assert json.loads(store.workspace.get(key)) == old
    written = json.loads(mlops("migrate", "crops", "--apply", "--json").out)
    assert (written["written"], written["documents"]) == (True, 1)
    assert store.workspace.get(key) == new
    store.workspace.put(key, b"{}")
    failed = mlops("migrate")
    assert failed.code == 1 and f"crops@{row.version}: {key} is not as it was" in failed.err
