"""Verification of a whole chain.

Any byte flipped, any file gone and any row changed by hand is found and named.
"""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.models.verify import Verification, verify_all, verify_model
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import ModelVersion, Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

FOLDERS = ("objects", "datasets", "models", "runs", "catalog", "predictions")


def open_store(root: Path) -> Store:
    return Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a data version, a model version trained on it, records and a prediction."""
    root = tmp_path_factory.mktemp("published") / "workspace"
    store = open_store(root)
    write_scene(root / "landing/scenes", crs="EPSG:32630")
    commit(store.workspace, store.registry, scenes_specification())
    row = lifecycle(store, model_specification("cover", dataset="scenes"), recorded=True)
    map_scene(store, row, root / "landing/scenes/images/a.tif", "a")
    store.registry._engine.dispose()
    return root


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    """A copy of that workspace, to do harm to."""
    return open_store(Path(shutil.copytree(published, tmp_path / "workspace")))


def the_model(store: Store) -> ModelVersion:
    return store.registry.model_version(Reference("cover"))


def only_model(store: Store) -> Verification:
    return verify_model(store, the_model(store))


EITHER = pytest.mark.parametrize("verify", [only_model, verify_all])


def keys(store: Store) -> list[str]:
    return sorted(key for folder in FOLDERS for key in store.workspace.list(folder))


@EITHER
def test_what_was_published_passes(verify: Callable[[Store], Verification], store: Store) -> None:
    found = verify(store)
    assert found.passed, found.problems
    assert found.files >= len(keys(store))
    assert found.size >= sum((store.workspace.root / key).stat().st_size for key in keys(store))
    assert {key.split("/")[0] for key in keys(store)} == set(FOLDERS)


@EITHER
@pytest.mark.parametrize("place", [0.0, 0.5, 1.0], ids=["first byte", "middle byte", "last byte"])
def test_one_flipped_bit_in_any_file_is_found_and_named(
    place: float, verify: Callable[[Store], Verification], store: Store
) -> None:
    unseen = []
    for key in keys(store):
        path = store.workspace.root / key
        content = path.read_bytes()
        changed = bytearray(content)
        changed[int(place * (len(content) - 1))] ^= 1
        path.write_bytes(changed)
        if not any(key in problem for problem in verify(store).problems):
            unseen.append(key)
        path.write_bytes(content)
    assert unseen == []
    assert verify(store).passed


@EITHER
def test_a_table_that_cannot_be_read_is_found_and_named(
    verify: Callable[[Store], Verification], store: Store
) -> None:
    path = store.workspace.root / "datasets/scenes/v1/manifest.parquet"
    pd.DataFrame({"x": [1]}).to_parquet(path)
    assert any(
        "datasets/scenes/v1/manifest.parquet" in problem for problem in verify(store).problems
    )


@EITHER
def test_any_missing_file_is_found_and_named(
    verify: Callable[[Store], Verification], store: Store
) -> None:
    unseen = []
    for key in keys(store):
        path = store.workspace.root / key
        path.rename(store.workspace.root / "hidden")
        if not any(f"{key} is missing" in problem for problem in verify(store).problems):
            unseen.append(key)
        (store.workspace.root / "hidden").rename(path)
    assert unseen == []
    assert verify(store).passed


def change(store: Store, table: str, column: str, value: object) -> None:
    """Set a column of all rows behind the registry's back."""
    store.registry._engine.dispose()
    with sqlite3.connect(store.workspace.root / "registry.db") as connection:
        assert connection.execute(f"UPDATE {table} SET {column} = ?", (value,)).rowcount
    connection.close()


@EITHER
@pytest.mark.parametrize(
    ("table", "column", "value", "named"),
    [
        ("model_versions", "metrics", json.dumps({"accuracy": 1.0}), "metrics"),
        ("runs", "parameters", json.dumps({"depth": 99}), "parameters"),
        ("runs", "seed", 99, "seed"),
        ("runs", "code_version", "0123456789ab", "code_version"),
        ("runs", "trainer", "a:b", "trainer"),
        ("runs", "data_digest", "0" * 64, "data_digest"),
        ("data_versions", "digest", "0" * 64, "scenes@v1: the registry has digest"),
        ("model_versions", "data_digest", "0" * 64, "was trained on digest"),
        ("model_versions", "metrics", "{}", "metrics"),
        ("model_versions", "signature", "{}", "signature"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_row_changed_by_hand_is_found(
    table: str,
    column: str,
    value: object,
    named: str,
    verify: Callable[[Store], Verification],
    store: Store,
) -> None:
    change(store, table, column, value)
    assert any(named in problem for problem in verify(store).problems)


def test_a_checksum_changed_by_hand_is_found_at_every_file(store: Store) -> None:
    change(store, "files", "sha256", "0" * 64)
    problems = "\n".join(verify_all(store).problems)
    assert all(
        f"{file.path}: its bytes are not those" in problems for file in store.registry.files()
    )


def test_an_object_that_no_version_lists_is_checked_against_its_name(store: Store) -> None:
    stray = store.workspace.put_object(b"left by an interrupted commit")
    assert verify_all(store).passed
    store.workspace.put(stray.path, b"other bytes")
    assert [problem.split(":")[0] for problem in verify_all(store).problems] == [stray.path]
