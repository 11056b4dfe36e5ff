"""The check that every file of a data version is as it was published."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import object_key
from mlops_assets.progress import step

THREADS = 16  # hashing and requests wait for disk and network, and hold no lock of Python's
NAMED = 10


def check_readable(committed: CommittedDataset) -> Check:
    """Re-hash every file of the data version, in parallel; those kept by reference are fetched."""
    files = committed.manifest.drop_duplicates("sha256")
    size = int(files["size"].sum())
    with (
        step(f"checking {committed.reference}", len(files), "files", size) as done,
        ThreadPoolExecutor(THREADS) as pool,
    ):

        def check(row: Any) -> bool:
            published = _is_published(committed, row)
            done.advance(size=row.size)
            return published

        good = list(pool.map(check, files.itertuples()))
    damaged = set(files["sha256"][[not one for one in good]])
    wrong = committed.manifest["path"][committed.manifest["sha256"].isin(damaged)].tolist()
    text = f"{len(committed.manifest)} file(s) have their published checksum"
    if wrong:
        text = (
            f"{len(wrong)} file(s) are missing or not as published: {', '.join(wrong[:NAMED])};"
            " restore them from a backup or land them again"
        )
    return outcome("readable", not wrong, text, files=len(committed.manifest), wrong=len(wrong))


def _is_published(committed: CommittedDataset, row: Any) -> bool:
    if isinstance(row.href, str):
        try:
            committed.local_path(row.path)
        except (IntegrityError, StorageError):
            return False
        return True
    key = object_key(row.sha256)
    try:
        return committed.workspace.stat(key).sha256 == str(row.sha256)
    except StorageError:
        if committed.workspace.exists(key):
            raise  # it is there and cannot be read just now, which says nothing about it
        return False
