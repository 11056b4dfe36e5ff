"""Verification of a backup: all of its content is read, and compared with its checksums."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, cast

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import BACKED_UP, is_file_key
from mlops_assets.progress import step
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.upkeep.backup.documents import BackupDocument, BackupPlace
from mlops_assets.upkeep.backup.lines import read_lines

_THREADS = 16
_SHA256 = re.compile("[0-9a-f]{64}")


class BackedUpFile(NamedTuple):
    """A file of a backup: its key in the workspace, its checksum (hex), its size in bytes."""

    key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class VerifiedBackup:
    """The outcome of a verification.

    Attributes:
        document: of the backup.
        problems: one line for each.
    """

    document: BackupDocument
    problems: tuple[str, ...]


def verify_backup(place: BackupPlace, name: str | None = None) -> VerifiedBackup:
    """Read all content of a backup, and compare it with its checksums.

    Args:
        place: of backups.
        name: of the backup; the newest one if None.

    Raises:
        IntegrityError: its document is not as it was written.
        NotFound: there is no such backup.
    """
    document = place.read(name)
    contents = {blob.sha256 for blob in document.tables.values()}
    problems: list[str] = []
    with scratch_folder("backup", place.store.cache) as scratch:
        try:
            contents |= {file.sha256 for file in files_of(place, document, scratch)}
        except (IntegrityError, StorageError) as error:
            problems.append(str(error))
    with (
        step(f"verifying {document.name}", len(contents), "contents") as done,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        for found in pool.map(lambda one: list(place.blob_problems(one)), sorted(contents)):
            problems += found
            done.advance()
    return VerifiedBackup(document, tuple(problems))


def files_of(place: BackupPlace, document: BackupDocument, scratch: Path) -> Iterator[BackedUpFile]:
    """Yield the files of a backup, by key.

    Args:
        place: of backups.
        document: of the backup.
        scratch: folder for a temporary file.

    Raises:
        IntegrityError: the list of them is not as it was written; or names a file that no backup
            has, such as one outside of the workspace.
        StorageError: it is missing, or cannot be read.
    """
    path = scratch / "files"
    place.fetch(document.files.sha256, path)
    for line in read_lines(path):
        # what is in its place may be of any type, which is examined next
        file = BackedUpFile(*(cast("Any", line.get(name)) for name in BackedUpFile._fields))
        if not _is_backed_up(file):
            raise IntegrityError(
                f"the list of files of backup {document.name} has {line!r:.200}, which no backup"
                " has; do not use it, restore another one"
            )
        yield file


def _is_backed_up(file: BackedUpFile) -> bool:
    """Return whether a file is of the folders of a backup: whoever wrote the list chose its key."""
    key, sha256, size = file
    return (
        isinstance(key, str)
        and isinstance(sha256, str)
        and isinstance(size, int)
        and key.startswith(tuple(f"{folder}/" for folder in BACKED_UP))
        and is_file_key(key)
        and _SHA256.fullmatch(sha256) is not None
    )
