"""References of model versions that were trained and exported on small, real data."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import IntegrityError
from mlops_assets.models.reference import publish
from mlops_assets.models.reference.publish import find_reference, publish_reference, reference_of
from mlops_assets.models.signature import raw_data
from mlops_assets.models.signing.bundle import Bundle
from mlops_assets.models.signing.sign import sign_version
from mlops_assets.models.signing.statements import SignedVersion, require_files, signed_files
from mlops_assets.models.verify import verify_model
from mlops_assets.paths import model_item_key, model_owner, reference_key
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
)
from mlops_assets_tests.models.signing.keys import make_key
from mlops_assets_tests.training.example_trainers import (
    HERE,
    lifecycle,
    model_specification,
    windows_source,
)

Land = Callable[..., Commit]


def recorded(store: Store, land_table: Land) -> ModelVersion:
    land_table(crops_table(600), table_specification())
    return lifecycle(store, model_specification(), recorded=True, depth=3)


@pytest.fixture
def earlier(
    store: Store, land_table: Land, monkeypatch: pytest.MonkeyPatch
) -> tuple[Store, ModelVersion]:
    """A version that an earlier release recorded, without a reference."""
    with monkeypatch.context() as patch:
        patch.setattr(publish, "publish_reference", lambda *_: None)
        row = recorded(store, land_table)
    assert not store.registry.files_at(reference_key(row.model, row.version))
    return store, row


def linked(store: Store, row: ModelVersion) -> dict[str, str]:
    key = model_item_key(row.model, row.version)
    item = json.loads(read_published(store.workspace, store.registry, key))
    names = ("reference_json", "reference_parquet")
    return {name: item["assets"][name]["file:checksum"] for name in names if name in item["assets"]}


def test_the_record_has_it(store: Store, land_table: Land) -> None:
    row = recorded(store, land_table)
    files = store.registry.files(model_owner(row.model, row.version))
    assert {"reference.json", "reference.parquet"} <= signed_files(row, files).keys()
    assert len(linked(store, row)) == 2
    found = reference_of(store, row)
    assert found is not None
    X, _ = raw_data(store.workspace, store.registry, row).arrays("train")
    np.testing.assert_array_equal(found.values, X)
    assert found.referred.samples == found.referred.total == len(X)
    assert found.referred.predictions is not None
    assert sum(found.referred.predictions.train) == len(X)
    test = found.referred.test
    assert test is not None and test.samples == sum(found.referred.predictions.test)
    assert test.separation is not None and test.prediction_shift is not None
    publish_reference(store, row)  # the same bytes again
    assert store.registry.files(model_owner(row.model, row.version)) == files
    assert not verify_model(store, row).problems


def test_a_version_of_an_earlier_release_gets_it(earlier: tuple[Store, ModelVersion]) -> None:
    store, row = earlier
    reader = store.acting(Principal("reader", frozenset({Role.VIEWER})))
    assert reference_of(reader, row) is not None
    assert not store.registry.files_at(reference_key(row.model, row.version))
    assert linked(store, row) == {}
    assert reference_of(store, row) is not None
    assert len(linked(store, row)) == 2
    assert not verify_model(store, row).problems


def test_a_signed_version_keeps_its_files(
    earlier: tuple[Store, ModelVersion], tmp_path: Path
) -> None:
    store, row = earlier
    bundle, _ = sign_version(store, row, make_key(tmp_path, "a"))
    assert reference_of(store, row) is not None
    published = store.registry.files(model_owner(row.model, row.version))
    statement = Bundle.read(read_published(store.workspace, store.registry, bundle.path)).statement
    require_files(statement, SignedVersion.of(row, published))


def test_unreadable_training_data_is_a_reason(earlier: tuple[Store, ModelVersion]) -> None:
    store, row = earlier
    for folder in ("objects", "cache"):
        for path in sorted((store.workspace.root / folder).rglob("*")):
            if path.is_file():
                path.unlink()
    found = find_reference(store, row)
    assert isinstance(found, str) and "objects/" in found
    assert reference_of(store, row) is None


def test_other_values_are_refused(store: Store, land_table: Land) -> None:
    row = recorded(store, land_table)
    key = reference_key(row.model, row.version, "reference.parquet")
    path = store.workspace.root / key
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[::-1])
    with pytest.raises(IntegrityError, match=r"reference\.parquet is not as it was published"):
        reference_of(store, row)
    assert "reference.parquet" in str(verify_model(store, row).problems)


def test_windows_have_statistics_of_their_bands(store: Store, land_scenes: Land) -> None:
    land_scenes(scenes_specification(**windows_source()), size=96)
    specification = model_specification(
        dataset="scenes", task="semantic-segmentation", trainer=f"{HERE}:network"
    )
    row = lifecycle(store, specification)
    found = publish_reference(store, row)
    assert not isinstance(found, str)
    assert len(found.names) == 12 and found.names[2].endswith("valid share")
    assert found.referred.predictions is not None
    assert sum(found.referred.predictions.train) == found.referred.samples
