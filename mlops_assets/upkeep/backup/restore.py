"""Restoring a backup into an empty workspace and an empty registry, of whatever kind.

First the mirror of the log, then the files, then the registry in one transaction. Until then the
workspace has the log of a registry that is not there, so that nobody else can record anything. What
a killed process leaves is continued by the next one.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import count, islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, insert
from sqlalchemy.orm import Session

from mlops_assets.datasets.versions.manifest import packed_objects
from mlops_assets.errors import Conflict, IntegrityError
from mlops_assets.paths import LOG, MANIFEST, RESTORING, log_entry_key
from mlops_assets.principals import Principal, Role
from mlops_assets.progress import each, step
from mlops_assets.registry import Registry
from mlops_assets.registry.files.packed_objects import index_packed
from mlops_assets.registry.log.chain import AUDITED
from mlops_assets.registry.log.rebuild import empty_registry, write_log, write_rows
from mlops_assets.registry.log.replay import Columns, Key
from mlops_assets.registry.schema import LogEntry, Point
from mlops_assets.stac.found_records import restore_records
from mlops_assets.storage import Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.upkeep.backup.documents import BackupDocument, BackupPlace
from mlops_assets.upkeep.backup.lines import TABLES, read_lines, value_of
from mlops_assets.upkeep.backup.verify import BackedUpFile, files_of

_THREADS = 16
_AT_ONCE = 1_000  # files that are handed to the threads
_ROWS = 5_000  # inserted at once
# what a workspace may have that is restored: nothing of it is published
_UNPUBLISHED = ("cache/", "dagster/", "landing/", "locks/", "registry.db", RESTORING)


@dataclass(frozen=True)
class Restored:
    """The outcome of restoring a backup.

    Attributes:
        document: of the backup.
        written: files that were written; others were there from an interrupted attempt.
        rows: table → how many rows it has.
    """

    document: BackupDocument
    written: int
    rows: dict[str, int]


def restore_backup(
    place: BackupPlace,
    workspace: Workspace,
    url: str,
    principal: Principal,
    name: str | None = None,
) -> Restored:
    """Restore a backup into an empty workspace and an empty registry.

    Args:
        place: of backups.
        workspace: to be written.
        url: SQLAlchemy URL of the registry to be written.
        principal: who is acting.
        name: of the backup; the newest one if None.

    Raises:
        Conflict: the workspace has files, or the registry has rows.
        Forbidden: the principal is not an operator.
        IntegrityError: the backup is not as it was written; or of a newer release.
        NotFound: there is no such backup.
        StorageError: something cannot be read or written.
    """
    principal.require(Role.OPERATOR, "restore a backup")
    document = place.read(name)
    if unknown := document.tables.keys() - TABLES.keys():
        raise IntegrityError(
            f"backup {document.name} has tables that this release does not know"
            f" ({', '.join(sorted(unknown))}); use release {document.release} or a newer one"
        )
    if _begin(workspace, document) and _is_restored(workspace, url, document):
        workspace.remove(RESTORING)
        return Restored(document, 0, _rows(document))
    with empty_registry(url, principal.name):
        pass  # refused before anything is written
    with scratch_folder("restore", workspace.cache) as scratch:
        tables = _Tables(place, document, scratch)
        _write_mirror(workspace, tables)
        written = _write_files(place, workspace, document, scratch)
        with empty_registry(url, principal.name) as connection:
            _write_registry(connection, workspace, tables)
    workspace.remove(RESTORING)
    return Restored(document, written, _rows(document))


def _rows(document: BackupDocument) -> dict[str, int]:
    return {name: blob.rows for name, blob in document.tables.items()}


def _begin(workspace: Workspace, document: BackupDocument) -> bool:
    """Note which backup is restored; return whether that was begun before.

    Raises:
        Conflict: the workspace has files, or another backup is being restored into it.
    """
    mark = {"backup": document.name, "digest": document.digest}
    if workspace.exists(RESTORING):
        found = json.loads(workspace.get(RESTORING))
        if found != mark:
            raise Conflict(
                f"{workspace.url} is being restored from backup {found.get('backup')}; continue"
                f" with --at {found.get('backup')}, or empty the workspace"
            )
        return True
    keys = (key for key in workspace.list("") if not key.startswith(_UNPUBLISHED))
    if there := list(islice(keys, 3)):
        raise Conflict(
            f"{workspace.url} is not empty: it has {', '.join(there)}, …; a backup is restored into"
            " an empty workspace only; choose another MLOPS_WORKSPACE, or move its files elsewhere"
        )
    workspace.put(RESTORING, json.dumps(mark).encode())
    return False


def _is_restored(workspace: Workspace, url: str, document: BackupDocument) -> bool:
    """Return whether an earlier attempt was killed just before its end."""
    with closing(Registry(url)) as registry:
        head = registry.newest_entry()
    return head is not None and head == document.head


def _write_files(
    place: BackupPlace, workspace: Workspace, document: BackupDocument, scratch: Path
) -> int:
    """Write all files; return how many were not there."""

    def write(file: BackedUpFile) -> int:
        # whole: files appear at their place at once, and only an attempt like this wrote any
        if there.get(file.key) == file.size:
            return 0
        local = scratch / str(next(names))
        place.fetch(file.sha256, local)
        workspace.put(file.key, local)
        local.unlink()
        return 1

    there = workspace.sizes("")
    names = count()
    files = files_of(place, document, scratch)
    written = 0
    with (
        step(f"restoring {document.name}", document.files.rows, "files", document.size) as done,
        ThreadPoolExecutor(_THREADS) as pool,
    ):
        while some := list(islice(files, _AT_ONCE)):
            for file, new in zip(some, pool.map(write, some), strict=True):
                written += new
                done.advance(size=file.size)
    return written


class _Tables:
    """The tables of a backup."""

    def __init__(self, place: BackupPlace, document: BackupDocument, scratch: Path) -> None:
        self._place = place
        self._document = document
        self._scratch = scratch

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """Yield the rows of a table, as JSON values; none of a table that is newer."""
        blob = self._document.tables.get(name)
        if blob is not None:
            path = self._scratch / f"table-{name}"
            if not path.exists():
                self._place.fetch(blob.sha256, path)
            yield from read_lines(path)

    def log(self) -> Iterator[tuple[int, str, str]]:
        """Yield number, checksum and text of the entries of the log."""
        for row in self.rows(LogEntry.__tablename__):
            yield row["seq"], row["sha256"], row["entry"]


def _write_mirror(workspace: Workspace, tables: _Tables) -> None:
    there = set(workspace.list(LOG))
    entries = (
        (log_entry_key(seq), text)
        for seq, _, text in tables.log()
        if log_entry_key(seq) not in there
    )
    # oldest first, so that missing ones are always the newest
    for key, text in entries:
        workspace.put(key, text.encode())


def _write_registry(connection: Connection, workspace: Workspace, tables: _Tables) -> None:
    for name, table in AUDITED.items():
        keys = [column.name for column in table.primary_key.columns]
        rows: Iterable[tuple[Key, Columns]] = (
            (tuple(row.pop(key) for key in keys), row) for row in tables.rows(name)
        )
        remaining = iter(rows)
        while some := dict(islice(remaining, _ROWS)):
            write_rows(connection, {name: some})
    write_log(connection, tables.log())
    points = (
        {name: value_of(Point.__table__.c[name], value) for name, value in row.items()}
        for row in tables.rows(Point.__tablename__)
    )
    while some_points := list(islice(points, _ROWS)):
        connection.execute(insert(Point), some_points)
    manifests = [row["path"] for row in tables.rows("files") if MANIFEST.fullmatch(row["path"])]
    with Session(connection) as session:
        for key in each("reading manifests", manifests, "manifests"):
            index_packed(session, packed_objects(workspace.get(key)))
        restore_records(session, workspace)
        session.flush()
