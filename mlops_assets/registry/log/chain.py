"""The chained log: one entry a transaction, with the changed rows and who changed them.

An entry has every row that its transaction has added, changed or deleted. It states the sha256 of
the entry before, so that none can be changed or left out without changing all that follow. Reading
it back and comparing is the business of `replay`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from numbers import Integral, Real

from pydantic_core import from_json, to_json
from sqlalchemy import ColumnElement, Connection, RowMapping, Table, insert, inspect, select, text
from sqlalchemy.orm import ORMExecuteState, Session

from mlops_assets.registry.schema import Base, LogEntry, Point, Run

# tables that change without an entry: the registry's own, caches, points, of which entries have
# checksums, records for searching, which published files and external records state, attempts to
# register, which are made again, and sessions of browsers, which end by themselves
UNLOGGED = frozenset(
    {
        "browser_sessions",
        "landed_files",
        "log",
        "meta",
        "packed_objects",
        "points",
        "registration_attempts",
        "registry_version",
        "sign_ins",
        "staged",
        "stac_collections",
        "stac_items",
    }
)
AUDITED: dict[str, Table] = {
    table.name: table for table in Base.metadata.sorted_tables if table.name not in UNLOGGED
}
ADOPTED = "adopted"  # the action that states the rows found when the log began
_ADOPTED_ROWS = 1_000  # in one entry
_LOCK = 0x6D6C6F7074  # of PostgreSQL; one transaction at a time appends
_POINTS = 10_000  # read at a time

# table, key, column → value or None if the row is deleted
Change = tuple[str, Sequence[object], Mapping[str, object] | None]


@dataclass(frozen=True)
class Author:
    """The author of an entry.

    It is the principal, with the newest entry that its process knows to be mirrored.
    """

    principal: str
    mirrored: int = 0


@dataclass(frozen=True)
class Appended:
    """An entry as it is in the log."""

    seq: int
    sha256: str
    entry: str


def key_of(table: Table, row: RowMapping | dict[str, object]) -> list[object]:
    """Return the values of a row's key, in the order of the table's columns."""
    return [kept(row[column.name]) for column in table.primary_key.columns]


def kept(value: object) -> object:
    """Return a value of a row as an entry states it.

    Times are ISO 8601 in UTC; NaN and infinities in documents are texts.
    """
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, bool):
        return value
    if isinstance(value, Integral):  # NumPy's, too
        return int(value)
    if isinstance(value, Real):
        value = float(value)
    if isinstance(value, dict | list | float):
        return from_json(to_json(value, inf_nan_mode="strings"))
    return value


def canonical(document: object) -> str:
    """Return the one JSON text of a document: sorted keys, no spaces."""
    return json.dumps(
        document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )


def sha256_of_entry(entry: str) -> str:
    """Return the checksum of an entry's text."""
    return hashlib.sha256(str(entry).encode()).hexdigest()  # SQLite may hold other than text


def points_digest(points: Iterable[tuple[int, str, int, float, float]]) -> dict[str, int | str]:
    """Return `count` and `sha256` of the points of a run.

    Points are (seq, name, step, value, logged), by seq.
    """
    encode = json.JSONEncoder(ensure_ascii=False).encode
    digest = hashlib.sha256()
    count = 0
    for seq, name, step, value, logged in points:
        digest.update(encode([seq, name, step, float(value), float(logged)]).encode())
        digest.update(b"\n")
        count += 1
    return {"count": count, "sha256": digest.hexdigest()}


def read_points(connection: Connection, run_id: str) -> dict[str, int | str]:
    """Return `points_digest` of the recorded points of a run."""
    table = Point.__table__.c
    query = select(table.seq, table.name, table.step, table.value, table.logged).where(
        table.run_id == run_id
    )
    rows = connection.execute(query.order_by(table.seq).execution_options(yield_per=_POINTS))
    return points_digest(
        (seq, name, step, value, logged) for seq, name, step, value, logged in rows
    )


def note_flush(session: Session, _context: object) -> None:
    """Note the rows that a flush has written, for the entry of the transaction.

    An event of the session.
    """
    changes = _changes(session)
    for row in session.deleted:
        _note(changes, row, None)
    for row in session.new:
        values = inspect(row).dict
        _note(
            changes, row, {column.name: values.get(column.name) for column in row.__table__.columns}
        )
    for row in session.dirty:
        if changed := _changed_columns(row):
            _note(changes, row, changed)


def refuse_unseen(state: ORMExecuteState) -> None:
    """Refuse statements that change rows without loading them, as no entry would have them.

    An event of the session.
    """
    if state.is_insert or state.is_update or state.is_delete:
        table = getattr(state.statement, "table", None)
        if table is not None and table.name in AUDITED:
            raise TypeError(
                f"change rows of {table.name} as objects of the session, which logs their changes"
            )


def insert_rows(session: Session, kind: type[Base], rows: Sequence[dict[str, object]]) -> None:
    """Insert many rows of an audited table at once, and note them.

    Args:
        session: of the transaction.
        kind: the table.
        rows: values of all its columns.
    """
    if not rows:
        return
    table = AUDITED[kind.__tablename__]
    session.connection().execute(insert(table), rows)
    key = {column.name for column in table.primary_key.columns}
    _changes(session).extend(
        (
            table.name,
            key_of(table, row),
            {name: kept(value) for name, value in row.items() if name not in key},
        )
        for row in rows
    )


def note_points(session: Session, run_id: str) -> None:
    """Note that the points of a run which has ended were changed."""
    session.info.setdefault("points", set()).add(run_id)


def _changes(session: Session) -> list[Change]:
    changes: list[Change] = session.info.setdefault("changes", [])
    return changes


def _changed_columns(row: Base) -> dict[str, object]:
    state = inspect(row)
    names = [column.name for column in row.__table__.columns]
    return {name: state.dict.get(name) for name in names if state.attrs[name].history.has_changes()}


def _note(changes: list[Change], row: Base, columns: dict[str, object] | None) -> None:
    table = AUDITED.get(row.__tablename__)
    if table is not None:
        key = key_of(table, inspect(row).dict)
        names = {column.name for column in table.primary_key.columns}
        values = columns and {
            name: kept(value) for name, value in columns.items() if name not in names
        }
        changes.append((table.name, key, values))


def append(session: Session, author: Author, action: str) -> Appended | None:
    """Append the entry of a transaction that is about to be committed.

    None if it has changed nothing that is logged.

    Args:
        session: the transaction.
        author: who writes the entry.
        action: performed by the transaction, e.g. `publish data version`.
    """
    session.flush()
    changes = _changes(session)
    ended = {str(key[0]) for table, key, columns in changes if table == "runs" and _ends(columns)}
    noted: set[str] = session.info.get("points", set())
    for run_id in sorted(ended | noted):
        changes.append(("points", [run_id], read_points(session.connection(), run_id)))
    return _append(session.connection(), author, action, changes) if changes else None


def _ends(columns: Mapping[str, object] | None) -> bool:
    return columns is not None and columns.get("status", "running") != "running"


def adopt(connection: Connection, author: Author) -> None:
    """Begin the log of a registry that has rows already, by stating them as they are found."""
    found = _found(connection)
    while some := list(islice(found, _ADOPTED_ROWS)):
        _append(connection, author, ADOPTED, some)


def _found(connection: Connection) -> Iterator[Change]:
    for table in AUDITED.values():
        for key, columns in rows_of(connection, table):
            yield table.name, key, columns
            if table is Run.__table__ and _ends(columns):
                yield "points", key, read_points(connection, str(key[0]))


def rows_of(
    connection: Connection, table: Table, *where: ColumnElement[bool]
) -> Iterator[tuple[list[object], dict[str, object]]]:
    """Yield key and other columns of the rows of a table, as entries have them.

    These are all rows, or those `where`.
    """
    names = {column.name for column in table.primary_key.columns}
    for row in connection.execute(
        select(table).where(*where).order_by(*table.primary_key.columns)
    ).mappings():
        yield (
            key_of(table, row),
            {name: kept(value) for name, value in row.items() if name not in names},
        )


def _append(connection: Connection, author: Author, action: str, changes: list[Change]) -> Appended:
    if connection.dialect.name == "postgresql":  # SQLite lets only one transaction write
        connection.execute(text("SELECT pg_advisory_xact_lock(:number)"), {"number": _LOCK})
    table = LogEntry.__table__.c
    last = connection.execute(
        select(table.seq, table.sha256).order_by(table.seq.desc()).limit(1)
    ).first()
    seq, previous = (last.seq + 1, last.sha256) if last else (1, "")
    time = datetime.now(UTC).isoformat()
    entry = canonical(
        {
            "seq": seq,
            "previous": previous,
            "time": time,
            "principal": author.principal,
            "mirrored": author.mirrored,
            "action": action,
            "changes": changes,
        }
    )
    sha256 = sha256_of_entry(entry)
    connection.execute(insert(LogEntry).values(seq=seq, sha256=sha256, entry=entry))
    return Appended(seq, sha256, entry)
