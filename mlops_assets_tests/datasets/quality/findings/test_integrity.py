"""Integrity of published files: objects, and files that are kept by reference."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from mlops_assets.datasets.commit.commit import Freeze
from mlops_assets.datasets.quality.findings.integrity import check_readable
from mlops_assets.datasets.versions.frozen_dataset import FrozenDataset
from mlops_assets.errors import StorageError
from mlops_assets.names import Reference
from mlops_assets.storage import FileStat
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.servers.web import WebFolder

Land = Callable[..., Freeze]


@pytest.fixture
def frozen(store: Store, land_table: Land) -> FrozenDataset:
    folder = store.workspace.root / "landing/fields"
    folder.mkdir(parents=True)
    for number in range(40):
        crops_table(10, seed=number).to_csv(folder / f"{number:02d}.csv", index=False)
    land_table()
    return FrozenDataset.open(store.workspace, store.registry, Reference("fields"))


def test_all_damaged_files_are_counted_and_the_first_are_named(frozen: FrozenDataset) -> None:
    assert check_readable(frozen).values == {"files": 41, "wrong": 0}
    for number in range(12):
        frozen.local_path(f"{number:02d}.csv").write_text("damaged")
    found = check_readable(frozen)
    assert (found.passed, found.blocking, found.values) == (False, True, {"files": 41, "wrong": 12})
    assert found.description.startswith(
        "12 file(s) are missing or not as published: 00.csv, 01.csv, "
    )
    assert "09.csv;" in found.description


def test_two_files_of_one_object_are_both_damaged(store: Store, land_table: Land) -> None:
    folder = store.workspace.root / "landing/fields"
    folder.mkdir(parents=True)
    crops_table().to_csv(folder / "copy.csv", index=False)
    land_table()
    frozen = FrozenDataset.open(store.workspace, store.registry, Reference("fields"))
    frozen.local_path("copy.csv").unlink()
    assert "copy.csv, samples.csv" in check_readable(frozen).description


def test_storage_that_does_not_answer_says_nothing_about_the_files(
    frozen: FrozenDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(key: str) -> FileStat:
        raise StorageError(f"could not read {key}: 503")

    monkeypatch.setattr(frozen.workspace, "stat", unavailable)
    with pytest.raises(StorageError, match="503"):
        check_readable(frozen)


def test_files_kept_by_reference_are_fetched_and_hashed(
    frozen: FrozenDataset, https_folder: WebFolder
) -> None:
    for path in frozen.manifest["path"]:
        (https_folder.folder / path).write_bytes(frozen.local_path(path).read_bytes())
    elsewhere = replace(
        frozen,
        manifest=frozen.manifest.assign(href=https_folder.url + "/" + frozen.manifest["path"]),
    )
    (https_folder.folder / "03.csv").write_text("changed")
    (https_folder.folder / "05.csv").unlink()
    found = check_readable(elsewhere)
    assert (found.passed, found.values["wrong"]) == (False, 2)
    assert "03.csv, 05.csv;" in found.description
