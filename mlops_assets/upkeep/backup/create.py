"""Backups while others write: the registry as of one moment, then every file that it names.

The registry is read in one transaction first. Objects, documents of data versions and runs are
written once, so that what the registry names is still there when it is copied. Some published files
are replaced, as links of records are; where that has happened since, the registry is read again and
only what is new is copied, and at last nothing may be replaced meanwhile. What the workspace has
beyond the registry is not copied.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import count, islice
from pathlib import Path
from threading import Lock

from sqlalchemy import select

from mlops_assets import __version__
from mlops_assets.errors import Conflict, IntegrityError, StorageError
from mlops_assets.names import check_key
from mlops_assets.paths import backup_blob_key, backup_key
from mlops_assets.principals import Role
from mlops_assets.progress import Step, step
from mlops_assets.registry.files.publication import nothing_replaced
from mlops_assets.registry.schema import SCHEMA_REVISION, LogEntry
from mlops_assets.registry.store import now
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import is_missing, local_folder
from mlops_assets.store import Store
from mlops_assets.text.listing import named
from mlops_assets.text.secret_urls import redacted
from mlops_assets.upkeep.backup.documents import BackupDocument, BackupPlace, Blob
from mlops_assets.upkeep.backup.lines import TABLES, rows_of, write_lines
from mlops_assets.upkeep.backup.wanted import Wanted, elsewhere, recorded, unrecorded

_THREADS = 16
_AT_ONCE = 1_000  # files that are handed to the threads
_ROUNDS = 4  # in the last of which nothing may be replaced

log = logging.getLogger(__name__)


class _Replaced(Exception):
    """A file that the registry names has been replaced since it was read."""


@dataclass(frozen=True)
class Backup:
    """The outcome of a backup.

    Attributes:
        document: of the backup.
        copied: files and tables that the place did not have yet.
        copied_size: of these, in bytes.
    """

    document: BackupDocument
    copied: int
    copied_size: int


def create_backup(store: Store, to: str, name: str | None = None) -> Backup:
    """Copy the workspace and the registry to a place of backups, while others write.

    Content that the place has already is not copied again, also that of a backup which was
    interrupted. All of it is compared with its checksums as it is read.

    Args:
        store: workspace and registry.
        to: URL of a folder or bucket.
        name: of the backup; by its time if None.

    Raises:
        Conflict: there is a backup of this name; another process is publishing and does not end.
        Forbidden: the principal is not an operator.
        IntegrityError: a file is not as it was published.
        NameRefused: the name cannot be one.
        StorageError: a file is missing; something cannot be read or written; the place is in the
            workspace.
    """
    store.registry.principal.require(Role.OPERATOR, "back up the workspace")
    if _is_within(to, store.workspace):
        raise StorageError(
            f"{redacted(to)} is in the workspace, and would be lost with it; choose another place"
        )
    place = BackupPlace(to, store.workspace.cache)
    if name is not None and check_key(name, "backup") in place.names():
        raise Conflict(f"{redacted(to)} has a backup {name!r} already; choose another name")
    there = {bytes.fromhex(sha256): size for sha256, size in place.blobs()}
    copying = _Copying(store, place, there)
    for number in range(1, _ROUNDS + 1):
        last = number == _ROUNDS
        try:
            with nothing_replaced(store.registry) if last else nullcontext():
                return _create(copying, name)
        except _Replaced as replaced:
            if last:
                raise IntegrityError(
                    f"{replaced} is not as it was published; run 'mlops verify', and restore it"
                    " from an earlier backup"
                ) from None
            log.info("%s was replaced while it was backed up; reading the registry again", replaced)
    raise AssertionError("unreachable")


def _is_within(to: str, workspace: Workspace) -> bool:
    """Return whether a place is in the workspace, also by a link or by `..`."""
    if workspace.is_local and to.startswith("file:"):
        return local_folder(to).resolve().is_relative_to(workspace.root.resolve())
    return f"{to.rstrip('/')}/".startswith(f"{workspace.url}/")


def _create(copying: _Copying, name: str | None) -> Backup:
    store, place = copying.store, copying.place
    with scratch_folder("backup", store.workspace.cache) as scratch:
        listed = _FileList()
        copying.begin(scratch, listed.add)
        copying.copy(unrecorded(store))
        with store.registry.snapshot() as connection:
            created = now()
            head = connection.execute(
                select(LogEntry.seq, LogEntry.sha256).order_by(LogEntry.seq.desc()).limit(1)
            ).first()
            tables = {}
            for table in TABLES.values():
                path = scratch / "table"
                rows = write_lines(path, rows_of(connection, table))
                tables[table.name] = copying.put(path, rows)
            wanted = list(recorded(store, connection))
            others = elsewhere(connection)
        copying.copy(wanted)
        notes = [*_notes(others, copying.gone)]
        path = scratch / "table"
        files = copying.put(path, write_lines(path, listed.sorted()))
        document = BackupDocument(
            name=name or "",
            created=created,
            created_by=store.user,
            release=__version__,
            schema_revision=SCHEMA_REVISION,
            workspace=redacted(store.workspace.url),
            head=None if head is None else (head.seq, head.sha256),
            tables=tables,
            files=files,
            size=listed.size,
            notes=tuple(notes),
        )
        if name is None:
            by_time = f"{created:%Y%m%dT%H%M%SZ}-{document.digest[:8]}"
            document = document.model_copy(update={"name": by_time})
        place.store.put(backup_key(document.name), document.content())
    return Backup(document, copying.copied, copying.copied_size)


def _notes(others: list[str], gone: list[str]) -> Iterator[str]:
    if others:
        yield (
            f"{len(others)} ONNX file(s) are in other workspaces, and are not copied:"
            f" {named(others, 5)}"
        )
    if gone:
        yield (
            f"{len(gone)} checkpoint(s) or logged requests were replaced meanwhile, and are not in"
            f" it: {named(sorted(gone), 5)}"
        )


class _FileList:
    """The files of a backup, as they are copied."""

    def __init__(self) -> None:
        self._rows: dict[str, tuple[str, int]] = {}
        self.size = 0

    def add(self, key: str, sha256: str, size: int) -> None:
        """Add a file."""
        if key not in self._rows:
            self.size += size
        self._rows[key] = (sha256, size)

    def sorted(self) -> Iterator[dict[str, object]]:
        """Yield its rows by key."""
        for key in sorted(self._rows):
            sha256, size = self._rows[key]
            yield {"key": key, "sha256": sha256, "size": size}


@dataclass
class _Copying:
    """Copies files that a place does not have yet.

    Attributes:
        store: they are copied from.
        place: they are copied to.
        there: checksum (binary) → size in bytes of content that the place has.
        copied: files that were copied.
        copied_size: of these, in bytes.
        gone: keys of optional files that were removed, or replaced, meanwhile.
    """

    store: Store
    place: BackupPlace
    there: dict[bytes, int]
    copied: int = 0
    copied_size: int = 0
    gone: list[str] = field(default_factory=list)
    _names: Iterator[int] = field(default_factory=count)
    _lock: Lock = field(default_factory=Lock)
    _scratch: Path = Path()
    _listed: Callable[[str, str, int], None] = lambda *_: None

    def begin(self, scratch: Path, listed: Callable[[str, str, int], None]) -> None:
        """Begin a round, with a folder for temporary files and a list of what is copied."""
        self._scratch, self._listed, self.gone = scratch, listed, []

    def copy(self, wanted: Iterable[Wanted]) -> None:
        """Copy files.

        Raises:
            _Replaced: one was replaced since the registry was read.
            StorageError: one is missing, cannot be read, or not be written.
        """
        remaining = iter(wanted)
        with step("backing up", None, "files") as done, ThreadPoolExecutor(_THREADS) as pool:
            while some := list(islice(remaining, _AT_ONCE)):
                for _ in pool.map(lambda one: self._copy(one, done), some):
                    pass

    def put(self, path: Path, rows: int) -> Blob:
        """Copy a file of the scratch folder, and remove it; return it as content of the place."""
        sha256, size = sha256_of(path), path.stat().st_size
        self._send(path, sha256, size)
        path.unlink()
        return Blob(sha256=sha256, size=size, rows=rows)

    def _copy(self, wanted: Wanted, done: Step) -> None:
        size = None if wanted.sha256 is None else self.there.get(bytes.fromhex(wanted.sha256))
        if wanted.sha256 is not None and size is not None:
            self._list(wanted.key, wanted.sha256, size)
            done.advance(size=size)
            return
        for key in filter(None, (wanted.key, wanted.staged)):
            if self._taken(key, wanted, done):
                return
        if not wanted.optional:
            raise _Replaced(wanted.key)
        with self._lock:
            self.gone.append(wanted.key)

    def _taken(self, key: str, wanted: Wanted, done: Step) -> bool:
        """Copy what is at a key, if it has the bytes that are wanted."""
        local = self._scratch / str(next(self._names))
        try:
            found = self.store.workspace.fetch(key, local)
            if wanted.sha256 not in (None, found.sha256):
                return False
            self._send(local, found.sha256, found.size)
        except StorageError as error:
            if is_missing(error.__cause__):
                return False
            raise
        finally:
            local.unlink(missing_ok=True)
        self._list(wanted.key, found.sha256, found.size)
        done.advance(size=found.size)
        return True

    def _send(self, path: Path, sha256: str, size: int) -> None:
        digest = bytes.fromhex(sha256)
        with self._lock:
            if digest in self.there:
                return
            # if it cannot be written, there is no backup
            self.there[digest] = size
            self.copied += 1
            self.copied_size += size
        self.place.store.put(backup_blob_key(sha256), path)

    def _list(self, key: str, sha256: str, size: int) -> None:
        with self._lock:
            self._listed(key, sha256, size)
