"""The document of a backup, and the place where backups are kept.

A place has content once, under its checksum, whichever backups have it; and a document a backup,
which is written last: without it there is no backup, whatever was copied for it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mlops_assets.errors import IntegrityError, NotFound, StorageError
from mlops_assets.paths import BACKUP_BLOBS, BACKUPS, backup_blob_key, backup_key
from mlops_assets.registry.log.chain import canonical
from mlops_assets.storage import Workspace
from mlops_assets.text.listing import named

FORMAT = 1
_END = ".json"


class Blob(BaseModel):
    """Content of a place of backups.

    Attributes:
        sha256: of its bytes, hexadecimal.
        size: in bytes.
        rows: that it has; of a table, or of the list of files.
    """

    model_config = ConfigDict(frozen=True)

    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    size: int
    rows: int


class BackupDocument(BaseModel):
    """A backup: what it was made of, and where its content is.

    Attributes:
        format: of this document.
        name: of the backup.
        created: when the registry was read.
        created_by: principal.
        release: of the platform that made it.
        schema_revision: of the registry.
        workspace: URL of the workspace, without secrets.
        head: number and sha256 of the newest entry of the log; None if there was none.
        tables: name → its rows as JSON lines, compressed by gzip.
        files: key, sha256 and size of each file, as JSON lines, compressed by gzip.
        size: of the files, in bytes.
        notes: for people, on what it does not have.
    """

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    name: str
    created: datetime
    created_by: str
    release: str
    schema_revision: str
    workspace: str
    head: tuple[int, str] | None
    tables: Mapping[str, Blob]
    files: Blob
    size: int
    notes: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Sha256 (hex) over all of it, and so over all of the backup."""
        return hashlib.sha256(canonical(self.model_dump(mode="json")).encode()).hexdigest()

    def content(self) -> bytes:
        """Return the file of it, which states its digest."""
        document = {**self.model_dump(mode="json"), "digest": self.digest}
        return (canonical(document) + "\n").encode()


class BackupPlace:
    """The folder or bucket where backups are kept.

    Attributes:
        store: its files.
    """

    def __init__(self, url: str, cache: Path) -> None:
        """Open a place of backups.

        Args:
            url: of the folder or bucket.
            cache: folder of this machine for temporary files.

        Raises:
            StorageError: it cannot be opened.
        """
        self.store = Workspace(url, cache)

    def names(self) -> list[str]:
        """Return the names of its backups, sorted, and so by time unless they were given."""
        keys = (key.removeprefix(f"{BACKUPS}/") for key in self.store.list(BACKUPS))
        return sorted(key.removesuffix(_END) for key in keys if key.endswith(_END))

    def read(self, name: str | None) -> BackupDocument:
        """Return the document of a backup.

        Args:
            name: of the backup; the newest one if None.

        Raises:
            IntegrityError: the document is not as it was written.
            NotFound: there is no such backup.
            StorageError: it cannot be read.
        """
        names = self.names()
        if not names:
            raise NotFound(f"{self.store.url} has no backup; make one with 'mlops backup create'")
        if name is None:
            return max(map(self._read, names), key=lambda backup: backup.created)
        if name not in names:
            raise NotFound(f"{self.store.url} has no backup {name!r}; it has {named(names, 5)}")
        return self._read(name)

    def _read(self, name: str) -> BackupDocument:
        key = backup_key(name)
        content = self.store.get(key)
        try:
            document = BackupDocument.model_validate_json(content)
        except ValidationError as error:
            raise IntegrityError(
                f"{key} of {self.store.url} is not the document of a backup that this release"
                " reads; restore it from a copy, or take another backup"
            ) from error
        if document.content() != content or document.name != name:
            raise IntegrityError(
                f"{key} of {self.store.url} is not as it was written; take another backup"
            )
        return document

    def blobs(self) -> Iterator[tuple[str, int]]:
        """Yield checksum and size, in bytes, of all content that is there; it is not read."""
        for entry in self.store.entries(BACKUP_BLOBS):
            yield entry.key.removeprefix(f"{BACKUP_BLOBS}/").replace("/", "", 1), entry.size

    def fetch(self, sha256: str, target: Path) -> None:
        """Write content to a local path.

        Args:
            sha256: its checksum.
            target: path of the copy.

        Raises:
            IntegrityError: it is not as it was written.
            StorageError: it is missing, or cannot be read.
        """
        key = backup_blob_key(sha256)
        if self.store.fetch(key, target).sha256 != sha256:
            raise IntegrityError(
                f"{key} of {self.store.url} is not as it was written; remove it, and back up again"
                " while the workspace still has it, or restore another backup"
            )

    def blob_problems(self, sha256: str) -> Iterator[str]:
        """Yield whether content is missing, or not as it was written."""
        key = backup_blob_key(sha256)
        try:
            found = self.store.stat(key)
        except StorageError as error:
            yield str(error)
            return
        if found.sha256 != sha256:
            yield f"{key} is not as it was written; remove it, and back up again"
