"""Integrity of published files: objects, and files that are kept by reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.datasets.quality.findings.integrity import check_readable
from mlops_assets.datasets.recall.objects import StoredBytes, StoredFile
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import StorageError
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.servers.web import WebFolder

Land = Callable[..., Commit]


@pytest.fixture
def committed(store: Store, land_table: Land) -> CommittedDataset:
    folder = store.workspace.root / "landing/fields"
    folder.mkdir(parents=True)
    for number in range(40):
        crops_table(10, seed=number).to_csv(folder / f"{number:02d}.csv", index=False)
    store.workspace.pack_below = 0  # of damaged packs see recall/test_packs.py
    land_table()
    return CommittedDataset.open(store.workspace, store.registry, Reference("fields"))


def test_all_damaged_files_are_counted_and_the_first_are_named(committed: CommittedDataset) -> None:
    assert check_readable(committed).values == {"files": 41, "wrong": 0}
    for number in range(12):
        committed.local_path(f"{number:02d}.csv").write_text("damaged")
    found = check_readable(committed)
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
    committed = CommittedDataset.open(store.workspace, store.registry, Reference("fields"))
    committed.local_path("copy.csv").unlink()
    assert "copy.csv, samples.csv" in check_readable(committed).description


def test_storage_that_does_not_answer_is_no_sign_of_damage(
    committed: CommittedDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(_: StoredBytes, file: StoredFile) -> Iterator[bytes]:
        raise StorageError(f"could not read {file.path}: 503")

    monkeypatch.setattr(StoredBytes, "chunks", unavailable)
    with pytest.raises(StorageError, match="503"):
        check_readable(committed)


def test_files_kept_by_reference_are_fetched_and_hashed(
    committed: CommittedDataset, https_folder: WebFolder
) -> None:
    for path in committed.manifest["path"]:
        (https_folder.folder / path).write_bytes(committed.local_path(path).read_bytes())
    elsewhere = replace(
        committed,
        manifest=committed.manifest.assign(
            href=https_folder.url + "/" + committed.manifest["path"]
        ),
    )
    (https_folder.folder / "03.csv").write_text("changed")
    (https_folder.folder / "05.csv").unlink()
    found = check_readable(elsewhere)
    assert (found.passed, found.values["wrong"]) == (False, 2)
    assert "03.csv, 05.csv;" in found.description
