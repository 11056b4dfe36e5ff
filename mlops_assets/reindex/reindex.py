"""Rebuilding a lost registry from the workspace alone.

It is rebuilt by replay of the mirrored log, else from documents.

The log gives every row as it was, and `points.parquet` all that a run which has ended had logged. A
workspace of an earlier release has no log, and its documents are read; see
`from_documents`. Unproven values are listed.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from sqlalchemy import Connection, insert
from sqlalchemy.orm import Session

from mlops_assets.datasets.versions.manifest import packed_objects
from mlops_assets.errors import IntegrityError, MlopsError, NotFound, StorageError
from mlops_assets.models.run_documents import read_points
from mlops_assets.paths import (
    LOG,
    LOG_ENTRY,
    LOG_REPLACED,
    MANIFEST,
    STAGED,
    log_entry_key,
    run_document_key,
    run_points_key,
)
from mlops_assets.principals import Principal, Role
from mlops_assets.progress import each
from mlops_assets.registry.files.packed_objects import index_packed
from mlops_assets.registry.log import chain
from mlops_assets.registry.log.mirror import mirrored
from mlops_assets.registry.log.rebuild import empty_registry, write_log, write_rows
from mlops_assets.registry.log.replay import Columns, Key, Replayed, replay
from mlops_assets.registry.runs import LoggedPoint, add_points
from mlops_assets.registry.schema import Staged
from mlops_assets.reindex.from_documents import (
    NAMED,
    documented_rows,
    points_of_series,
    published_keys,
)
from mlops_assets.stac.found_records import restore_records
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.text.listing import named

ACTION = "reindex"


@dataclass
class Reindexed:
    """The outcome of rebuilding a registry.

    Attributes:
        rows: table → how many rows it has.
        head: number and sha256 of the newest entry of the log that was replayed; None if there was
            no log.
        unproven: lost or unproven values, for people.
    """

    rows: dict[str, int]
    head: tuple[int, str] | None = None
    unproven: list[str] = field(default_factory=list)


def reindex(
    workspace: Workspace, url: str, principal: Principal, until: int | None = None
) -> Reindexed:
    """Rebuild a registry from a workspace.

    All of it is done in one transaction, and never over a registry that has rows.

    Args:
        workspace: has the log or the documents that it is rebuilt from.
        url: SQLAlchemy URL of the registry to be written.
        principal: who is acting.
        until: number of the newest entry of the log to be replayed; those after it are moved to
            `log-replaced/`.

    Raises:
        Conflict: the registry has rows.
        Forbidden: the principal is not an operator.
        IntegrityError: the log is broken.
        NotFound: there is nothing to rebuild from, or the log has no entry `until`.
        StorageError: the workspace cannot be read, or the registry not written.
    """
    principal.require(Role.OPERATOR, "rebuild the registry")
    with empty_registry(url, principal.name) as connection:
        replayed = _replayed(workspace, until)
        if replayed is None:
            found = _from_documents(workspace, connection, principal.name)
        else:
            found = _from_log(workspace, connection, replayed, principal.name)
        with Session(connection) as session:
            restore_records(session, workspace)
            session.flush()
        return found


def _entries(workspace: Workspace, until: int | None = None) -> Iterator[tuple[int, str, str]]:
    """Yield number, checksum and text of the mirrored entries, oldest first.

    Raises:
        IntegrityError: another file is among them.
    """
    for key in mirrored(workspace):
        match = LOG_ENTRY.fullmatch(key)
        if match is None:
            raise IntegrityError(
                f"{key} is not an entry of the log; move it out of log/ and run this again"
            )
        if until is not None and int(match[1]) > until:
            return
        content = workspace.get(key)
        yield int(match[1]), sha256_of(content), content.decode(errors="replace")


def _replayed(workspace: Workspace, until: int | None) -> Replayed | None:
    found = replay(_entries(workspace, until))
    if found.problems:
        listed = "; ".join(found.problems[:5])
        rest = f"; and {len(found.problems) - 5} more" if found.problems[5:] else ""
        remedy = (
            f", or rebuild what was recorded up to entry {found.whole} with --until {found.whole}"
        )
        raise IntegrityError(
            f"the log in {workspace.url} is broken: {listed}{rest}; nothing was rebuilt; restore"
            " log/ from a backup" + (remedy if found.whole else "")
        )
    if until is not None and found.seq != until:
        raise NotFound(f"the log in {workspace.url} has {found.seq} entries, not {until}")
    return found if found.seq else None


def _from_log(
    workspace: Workspace, connection: Connection, replayed: Replayed, principal: str
) -> Reindexed:
    write_rows(connection, replayed.rows)
    write_log(connection, _unchanged(workspace, replayed))
    found = Reindexed(_counts(replayed.rows), (replayed.seq, replayed.sha256))
    if replayed.adopted is not None:
        found.unproven.append(
            f"rows older than the log are as the registry had them on {replayed.adopted}"
        )
    files = replayed.rows["files"]
    other = []
    for run_id in each(
        "reading points",
        [run for run, logged in replayed.points.items() if logged["count"]],
        "runs",
    ):
        points, loss = _points(workspace, run_id, files)
        add_points(connection, run_id, points)
        found.rows["points"] += len(points)
        if chain.points_digest(points) != replayed.points[run_id]:
            other.append(run_id)
            loss = loss or (
                "they differ from those that the log states"
                if points
                else "they are in no published file"
            )
            found.unproven.append(f"points of run {run_id}: {loss}")
    running = [
        str(run) for (run,), row in replayed.rows["runs"].items() if row["status"] == "running"
    ]
    if running:
        found.unproven.append(f"points of runs that were running: {named(running, NAMED)}")
    _restore_staged(workspace, connection, files)
    _index_packed(workspace, connection, files)
    found.unproven += _unknown_files(workspace, files)
    _note(connection, other, principal)
    _move_replaced(workspace, replayed.seq)
    return found


def _from_documents(workspace: Workspace, connection: Connection, principal: str) -> Reindexed:
    documented = documented_rows(workspace)
    if not any(documented.rows.values()):
        raise NotFound(
            f"{workspace.url} has neither a log nor documents of data versions and runs; check"
            " MLOPS_WORKSPACE"
        )
    write_rows(connection, documented.rows)
    found = Reindexed(_counts(documented.rows), None, documented.unproven)
    lost: dict[str, list[str]] = {}
    for (run_id,) in documented.rows["runs"]:
        points, loss = _points(workspace, str(run_id), documented.rows["files"])
        add_points(connection, str(run_id), points)
        found.rows["points"] += len(points)
        if loss:
            lost.setdefault(loss, []).append(str(run_id))
    found.unproven += [
        f"points of {len(runs)} run(s): {loss}: {named(runs, NAMED)}" for loss, runs in lost.items()
    ]
    _index_packed(workspace, connection, documented.rows["files"])
    chain.adopt(connection, chain.Author(principal))
    return found


def _unchanged(workspace: Workspace, replayed: Replayed) -> Iterator[tuple[int, str, str]]:
    """Yield the entries that were replayed.

    They are read again, as all of them may not fit into memory.
    """
    for seq, sha256, text in islice(_entries(workspace), replayed.seq):
        if replayed.heads.get(seq) != sha256:
            raise IntegrityError(
                f"{log_entry_key(seq)} has changed meanwhile; nothing was rebuilt; run this again"
            )
        yield seq, sha256, text


def _points(
    workspace: Workspace, run_id: str, files: Mapping[Key, Columns]
) -> tuple[list[LoggedPoint], str]:
    """Return the points of a run in its published files, and a note of their loss, if any."""
    wrong = ""
    try:
        content = _published(workspace, run_points_key(run_id), files)
        if content is not None:
            return read_points(content), ""
    except (MlopsError, ValueError, KeyError) as error:
        wrong = str(error)
    try:
        content = _published(workspace, run_document_key(run_id), files)
        points = [] if content is None else points_of_series(json.loads(content))
    except (MlopsError, ValueError, KeyError, TypeError) as error:
        return [], wrong or str(error)
    if points:
        wrong = (
            "only values and steps, of run.json; when and in which order they were logged is lost"
        )
    return points, wrong


def _published(workspace: Workspace, key: str, files: Mapping[Key, Columns]) -> bytes | None:
    """Return the content of a published file; None if it was never published.

    Raises:
        StorageError: it is missing.
        IntegrityError: its bytes have changed.
    """
    published = files.get((key,))
    if published is None:
        return None
    content = workspace.get(key)
    if sha256_of(content) != published["sha256"]:
        raise IntegrityError(f"{key} is not as it was published")
    return content


def _restore_staged(
    workspace: Workspace, connection: Connection, files: Mapping[Key, Columns]
) -> None:
    """Record the published content that is still in `staged/`, as its process was killed.

    See `publication`.
    """
    restored = set()  # the same content may be that of several files
    for content in list(workspace.list(STAGED)):
        sha256 = workspace.stat(content).sha256
        for (path,), published in files.items():
            if (
                path in restored
                or published["sha256"] != sha256
                or _is_at(workspace, str(path), sha256)
            ):
                continue
            connection.execute(insert(Staged).values(path=path, content=content))
            restored.add(path)
            break


def _index_packed(
    workspace: Workspace, connection: Connection, files: Mapping[Key, Columns]
) -> None:
    """Index the objects in packs by the manifests of all data versions."""
    manifests = [str(path) for (path,) in files if MANIFEST.fullmatch(str(path))]
    with Session(connection) as session:
        for key in each("reading manifests", manifests, "manifests"):
            # without a manifest that is damaged, its files are stored again, if they land again
            with suppress(StorageError, IntegrityError):
                content = _published(workspace, key, files)
                index_packed(session, packed_objects(content) if content else {})


def _is_at(workspace: Workspace, key: str, sha256: str) -> bool:
    return workspace.exists(key) and workspace.stat(key).sha256 == sha256


def _unknown_files(workspace: Workspace, files: Mapping[Key, Columns]) -> Iterator[str]:
    """Yield a note of files that no entry has published.

    They are of killed processes, or of entries that were not mirrored.
    """
    unknown = [key for key in published_keys(workspace) if (key,) not in files]
    if unknown:
        yield (
            f"{len(unknown)} file(s) are in no entry of the log, as their process was killed before"
            f" it published them, or as the newest entries are missing: {named(unknown, NAMED)}"
        )


def _note(connection: Connection, run_ids: list[str], principal: str) -> None:
    """Add an entry to the log with the points that runs have now, where the log has others."""
    if run_ids:
        with Session(connection) as session:
            for run_id in run_ids:
                chain.note_points(session, run_id)
            chain.append(session, chain.Author(principal), ACTION)


def _move_replaced(workspace: Workspace, seq: int) -> None:
    """Move the mirrored entries after this one aside, newest first, so that no gap ever arises."""
    later = [key for key in mirrored(workspace) if key > log_entry_key(seq)]
    for key in reversed(later):
        workspace.move(
            key, key.replace(LOG, f"{LOG_REPLACED}/{seq}", 1), workspace.stat(key).sha256
        )


def _counts(rows: Mapping[str, Mapping[Key, Columns]]) -> dict[str, int]:
    return {**{name: len(some) for name, some in rows.items()}, "points": 0}
