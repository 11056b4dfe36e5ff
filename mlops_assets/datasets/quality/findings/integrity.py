"""The check that every file of a data version is as it was published."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence

from mlops_assets.datasets.quality.checks import Check, outcome
from mlops_assets.datasets.recall.objects import (
    STREAMED_FROM,
    StoredBytes,
    StoredFile,
    grouped,
    stored_files,
)
from mlops_assets.datasets.recall.parallel import in_groups
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.settings import streams_data
from mlops_assets.storage.stores import is_missing

NAMED = 10


def check_readable(committed: CommittedDataset) -> Check:
    """Re-hash every file of the data version, in parallel; those kept by reference are fetched."""
    content = StoredBytes(committed.workspace)

    def damaged(group: Sequence[StoredFile]) -> Iterator[str | None]:
        for file, chunks in content.read(group):
            yield None if _is_published(committed, file, chunks) else file.sha256

    files = stored_files(committed.manifest.drop_duplicates("sha256"))
    groups = grouped(files, whole_from=STREAMED_FROM)
    found = in_groups(f"checking {committed.reference}", damaged, groups, content.threads)
    wrong = committed.manifest["path"][committed.manifest["sha256"].isin(set(found))].tolist()
    text = f"{len(committed.manifest)} file(s) have their published checksum"
    if wrong:
        text = (
            f"{len(wrong)} file(s) are missing or not as published: {', '.join(wrong[:NAMED])};"
            " restore them from a backup or land them again"
        )
    return outcome("readable", not wrong, text, files=len(committed.manifest), wrong=len(wrong))


def _is_published(committed: CommittedDataset, file: StoredFile, chunks: Iterator[bytes]) -> bool:
    try:
        # the copy of a file kept by reference is read again by training, unless that is streamed
        if file.href is None or streams_data():
            deque(chunks, maxlen=0)
        else:
            committed.local_path(file.path)
    except IntegrityError:
        return False
    except StorageError as error:
        if file.href is None and not is_missing(error.__cause__):
            raise  # it exists but cannot be read now, which is no sign of damage
        return False
    return True
