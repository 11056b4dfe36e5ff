"""The check that every file of a data version is as it was published."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

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

        def check(file: tuple[str, str, object, int]) -> bool:
            path, sha256, href, size = file
            published = _is_published(committed, path, sha256, by_reference=isinstance(href, str))
            done.advance(size=size)
            return published

        columns = [files[name].tolist() for name in ("path", "sha256", "href", "size")]
        good = list(pool.map(check, zip(*columns, strict=True)))
    damaged = set(files["sha256"][[not one for one in good]])
    wrong = committed.manifest["path"][committed.manifest["sha256"].isin(damaged)].tolist()
    text = f"{len(committed.manifest)} file(s) have their published checksum"
    if wrong:
        text = (
            f"{len(wrong)} file(s) are missing or not as published: {', '.join(wrong[:NAMED])};"
            " restore them from a backup or land them again"
        )
    return outcome("readable", not wrong, text, files=len(committed.manifest), wrong=len(wrong))


def _is_published(committed: CommittedDataset, path: str, sha256: str, by_reference: bool) -> bool:
    if by_reference:
        try:
            committed.local_path(path)
        except (IntegrityError, StorageError):
            return False
        return True
    key = object_key(sha256)
    try:
        return committed.workspace.stat(key).sha256 == sha256
    except StorageError:
        if committed.workspace.exists(key):
            raise  # it exists but cannot be read now, which is no sign of damage
        return False
