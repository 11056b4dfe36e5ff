"""References of model versions that were trained and exported on small, real data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.models.lifecycle import Outcome, do_stage
from mlops_assets.models.reference.publish import publish_reference, reference_of
from mlops_assets.models.signature import raw_data
from mlops_assets.models.signing.statements import signed_files
from mlops_assets.paths import model_owner
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

Land = Callable[..., Commit]


def trained_on_rows(store: Store, land_table: Land) -> ModelVersion:
    land_table(crops_table(600), table_specification())
    return lifecycle(store, model_specification(), depth=3)


def test_values_are_those_of_training(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    found = publish_reference(store, row)
    assert not isinstance(found, str)
    X, _ = raw_data(store.workspace, store.registry, row).arrays("train")
    np.testing.assert_array_equal(found.values, X)
    print(found.referred.model_dump_json(indent=1)[:3000])
    again = reference_of(store, row)
    assert again is not None and again.referred == found.referred
    np.testing.assert_array_equal(again.values, X)


def test_it_is_published_with_the_record(store: Store, land_table: Land) -> None:
    row = trained_on_rows(store, land_table)
    specification = model_specification()
    outcome = Outcome(row.model, row.version)
    for stage in ("applicability", "evaluate", "record"):
        do_stage(stage, store, specification, row, outcome, Unheard())
    files = store.registry.files(model_owner(row.model, row.version))
    assert {"reference.json", "reference.parquet"} <= signed_files(row, files).keys()
