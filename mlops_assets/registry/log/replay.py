"""Verification of the chained log: its hashes, and the rows that its entries leave.

The rows are compared with the tables.

`replay` works on texts alone, wherever they come from: the registry, its mirror in the workspace,
or a backup.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from pydantic import BaseModel, ValidationError
from sqlalchemy import Connection, DefaultClause, Table, inspect, select, type_coerce
from sqlalchemy.orm import Session
from sqlalchemy.types import NullType

from mlops_assets.registry.log.chain import ADOPTED, AUDITED, read_points, rows_of, sha256_of_entry
from mlops_assets.registry.schema import Base, LogEntry, Point

T = TypeVar("T", bound=Base)
R = TypeVar("R")
Key = tuple[object, ...]
Columns = dict[str, object]
_MAX_VALUE = 60  # characters of a value in a message
# tables that take long to compare, and are not read again when nothing changed
_STATED = frozenset({"files", "points"})

UNREADABLE = (ValueError, TypeError, RecursionError)  # raised for values of another kind


class Entry(BaseModel, strict=True, extra="forbid"):
    """One entry of the log."""

    seq: int
    previous: str
    time: str
    principal: str
    action: str
    mirrored: int
    changes: list[tuple[str, list[str | int], Columns | None]]


@dataclass
class Replayed:
    """The content of a log.

    Attributes:
        rows: table → key → columns, of every row that there should be.
        points: run → `count` and `sha256` of its points, of runs that have ended.
        problems: problems of the log itself.
        seq: number of the newest entry; 0 if there is none.
        sha256: its checksum: the head of the log.
        whole: number of the newest entry before the first that something is wrong with.
        heads: number → checksum of every entry.
        adopted: when the log began, if the registry had rows by then.
        mirrored: the newest entry that is known to have been in the workspace.
        stated: (table, *key) → the newest entry that is about it, of files and points.
    """

    rows: dict[str, dict[Key, Columns]] = field(
        default_factory=lambda: {name: {} for name in AUDITED}
    )
    points: dict[str, Mapping[str, object]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    seq: int = 0
    sha256: str = ""
    whole: int = 0
    heads: dict[int, str] = field(default_factory=dict)
    adopted: str | None = None
    mirrored: int = 0
    stated: dict[Key, int] = field(default_factory=dict)


def entries_of(connection: Connection) -> Iterator[tuple[int, str, str]]:
    """Return number, checksum and text of every entry that the registry has, oldest first."""
    table = LogEntry.__table__.c
    query = (
        select(table.seq, table.sha256, table.entry)
        .order_by(table.seq)
        .execution_options(yield_per=1_000)
    )
    return ((seq, sha256, entry) for seq, sha256, entry in connection.execute(query))


def replay(entries: Iterable[tuple[int, str, str]]) -> Replayed:
    """Return the rows that the entries of a log leave, and the problems of the log.

    Args:
        entries: number, checksum and text of each entry, oldest first.
    """
    found = Replayed()
    for seq, sha256, text in entries:
        actual = sha256_of_entry(text)
        if sha256 != actual:
            found.problems.append(
                f"entry {seq} of the log has been changed: its sha256 is not the one beside it"
            )
        if seq != found.seq + 1:
            found.problems.append(
                f"entry {found.seq + 1} of the log is missing: entry {seq} follows {found.seq}"
            )
        try:
            entry = Entry.model_validate_json(str(text))
        except ValidationError:
            found.problems.append(f"entry {seq} of the log has been changed: it is not an entry")
        else:
            if entry.seq != seq or entry.previous != found.sha256:
                found.problems.append(f"entry {seq} of the log does not follow the one before it")
            _apply(found, entry)
        found.seq = seq
        found.sha256 = actual
        if not found.problems:
            found.whole = seq
        found.heads[seq] = actual
    return found


def _apply(found: Replayed, entry: Entry) -> None:
    found.mirrored = max(found.mirrored, entry.mirrored)
    if entry.action == ADOPTED:
        found.adopted = entry.time
    for table, key, columns in entry.changes:
        if table in _STATED:
            found.stated[table, *key] = entry.seq
        if table == "points":
            found.points[str(key[0])] = columns or {}
            continue
        rows = found.rows.setdefault(table, {})
        if columns is None:
            rows.pop(tuple(key), None)
        else:
            rows.setdefault(tuple(key), {}).update(columns)
        if table == "runs" and (columns is None or columns.get("status") == "running"):
            found.points.pop(str(key[0]), None)


def guarded(subject: str, check: Callable[[], Iterable[str]]) -> list[str]:
    """Return the problems that a check yields; a check that fails is a problem, too.

    Args:
        subject: of the check, for the message.
        check: yields problems.
    """
    found: list[str] = []
    try:
        found.extend(check())
    # whatever was done to one row or file must not hide what was done to another
    except Exception as error:  # noqa: BLE001
        found.append(_failed(subject, error))
    return found


def attempt(problems: list[str], subject: str, read: Callable[[], list[R]]) -> list[R]:
    """Return the result of a reading, or nothing if it fails, which is a problem.

    Args:
        problems: found so far.
        subject: of the reading, for the message.
        read: reads.
    """
    try:
        return read()
    except Exception as error:  # noqa: BLE001
        problems.append(_failed(subject, error))
        return []


def _failed(subject: str, error: Exception) -> str:
    # errors of pydantic have several lines, a problem has one
    reason = " ".join(str(error).split())
    return f"{subject} cannot be verified: {type(error).__name__}: {reason}"


def differences(connection: Connection, expected: Replayed, since: int = 0) -> Iterator[str]:
    """Yield the differences between the tables and the log.

    Args:
        connection: a transaction that reads everything as it was at one moment.
        expected: the log of the same moment.
        since: points of runs are read that entries after this one state; all by default.
    """
    for name, table in AUDITED.items():
        yield from guarded(
            f"table {name}",
            partial(table_differences, connection, table, expected.rows.get(name, {})),
        )
    yield from guarded("table points", partial(point_differences, connection, expected, since))


def table_differences(
    connection: Connection, table: Table, expected: Mapping[Key, Columns]
) -> Iterator[str]:
    """Yield how the rows of one table differ from those that the log leaves."""
    missing = dict(expected)
    for key, columns in _readable_rows(connection, table):
        logged = missing.pop(tuple(key), None)
        if isinstance(columns, str):
            yield (
                f"{_row(table, key)} was changed in the registry without an entry of its log:"
                f" {columns}"
            )
            continue
        if logged is None:
            yield f"{_row(table, key)} was added to the registry without an entry of its log"
            continue
        for name, value in columns.items():
            wanted = logged[name] if name in logged else default_of(table, name)
            if not same(value, wanted):
                yield (
                    f"{_row(table, key)} was changed in the registry without an entry of its log: "
                    f"{name} is {_abbreviated(value)}, was {_abbreviated(wanted)}"
                )
    for gone in missing:
        yield f"{_row(table, gone)} was deleted from the registry without an entry of its log"


def _readable_rows(
    connection: Connection, table: Table
) -> Iterator[tuple[list[object], Columns | str]]:
    """Yield key and columns of every row.

    Columns that hold no value of their kind are replaced by a description of the problem.
    """
    try:
        found: list[tuple[list[object], Columns | str]] = list(rows_of(connection, table))
    except UNREADABLE:  # of one row, which stops the reading of all
        found = list(_rows_one_by_one(connection, table))
    yield from found


def _rows_one_by_one(
    connection: Connection, table: Table
) -> Iterator[tuple[list[object], Columns | str]]:
    columns = list(table.primary_key.columns)
    keys = connection.execute(
        select(*(type_coerce(column, NullType()) for column in columns))
    ).all()
    for key in keys:
        where = [
            type_coerce(column, NullType()) == value
            for column, value in zip(columns, key, strict=True)
        ]
        try:
            yield next(rows_of(connection, table, *where), (list(key), "it cannot be read"))
        except UNREADABLE as error:
            yield list(key), f"it cannot be read ({error})"


def default_of(table: Table, name: str) -> object:
    """Return the value of a row in a column that is newer than its entries."""
    default = table.columns[name].server_default
    if not isinstance(default, DefaultClause):
        return None
    text = str(default.arg)
    try:
        return json.loads(text)
    except ValueError:
        return text


def point_differences(connection: Connection, expected: Replayed, since: int) -> Iterator[str]:
    """Yield the runs whose points differ from those logged in entries after `since`."""
    runs = expected.rows.get("runs", {})
    for run_id, logged in expected.points.items():
        if expected.stated.get(("points", run_id), 0) <= since:
            continue
        try:
            found = read_points(connection, run_id)
        except UNREADABLE as error:
            yield (
                f"the points of run {run_id} were changed in the registry without an entry of its"
                f" log: they cannot be read ({error})"
            )
            continue
        if found != logged:
            yield (
                f"the points of run {run_id} were changed in the registry without an entry of its"
                f" log: there are {found['count']}, were {logged.get('count')}"
            )
    for run_id in connection.scalars(select(Point.run_id).distinct()):
        if (run_id,) not in runs:
            yield f"points of run {run_id} were added to the registry, and there is no such run"


def readable(session: Session, kind: type[T], **where: object) -> list[T]:
    """Return rows by key, without those that cannot be read; `table_differences` names them.

    Args:
        session: a transaction.
        kind: the table.
        where: columns and the values that they have.
    """
    keys = list(inspect(kind).primary_key)
    try:
        return list(session.scalars(select(kind).filter_by(**where).order_by(*keys)))
    except UNREADABLE:
        rows = session.execute(select(*keys).filter_by(**where).order_by(*keys)).all()
        found = (_readable_row(session, kind, key) for key in rows)
        return [row for row in found if row is not None]


def _readable_row(session: Session, kind: type[T], key: Iterable[object]) -> T | None:
    try:
        return session.get(kind, tuple(key))
    except UNREADABLE:
        return None


def same(value: object, logged: object) -> bool:
    """Return whether a value of a table is an entry's, however the database writes numbers."""
    if isinstance(value, dict) and isinstance(logged, dict):
        return value.keys() == logged.keys() and all(same(value[key], logged[key]) for key in value)
    if isinstance(value, list) and isinstance(logged, list):
        return len(value) == len(logged) and all(map(same, value, logged))
    if isinstance(value, bool) or isinstance(logged, bool):
        return value is logged
    if isinstance(value, int | float) and isinstance(logged, float):
        return float(value) == logged  # PostgreSQL writes 1e23 without an exponent
    if isinstance(value, int | float) and isinstance(logged, int):
        return value == logged  # of large ones, too, which are not exact as float
    return type(value) is type(logged) and bool(value == logged)


def _row(table: Table, key: Iterable[object]) -> str:
    return f"{table.name} {'/'.join(map(str, key))}"


def _abbreviated(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"
