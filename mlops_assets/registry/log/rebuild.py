"""Writing a whole registry from rows, as entries of the log have them.

In one transaction, where there is none yet.

Collecting the rows is the business of `reindex`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from typing import Any

from sqlalchemy import Column, Connection, Table, func, insert, select
from sqlalchemy.exc import DatabaseError, StatementError

from mlops_assets.errors import Conflict, IntegrityError, StorageError
from mlops_assets.registry.engine import open_engine
from mlops_assets.registry.log.chain import AUDITED
from mlops_assets.registry.log.replay import Columns, Key, default_of
from mlops_assets.registry.migrations.upgrade import prepare
from mlops_assets.registry.schema import Base, LogEntry, Point, UtcDateTime
from mlops_assets.text.secret_urls import redacted

_ROWS = 1_000  # inserted at once
_ENTRY = ("seq", "sha256", "entry")


@contextmanager
def empty_registry(url: str, principal: str) -> Iterator[Connection]:
    """Open a registry that has no rows yet, in one transaction around the block.

    Args:
        url: SQLAlchemy URL of the registry; its tables are made if they are missing.
        principal: who is acting.

    Raises:
        Conflict: it has rows.
        SettingsError: the URL cannot be read.
        StorageError: it cannot be opened or written.
    """
    engine = open_engine(url)
    try:
        with engine.begin() as connection:
            prepare(connection, principal)
            _require_empty(connection, url)
            yield connection
    except DatabaseError as error:
        raise StorageError(
            f"registry {redacted(url)} could not be written: {error.orig}; nothing was recorded;"
            " check the URL and the disk, and first move a damaged file elsewhere"
        ) from error
    finally:
        engine.dispose()


def _require_empty(connection: Connection, url: str) -> None:
    names = (*AUDITED, LogEntry.__tablename__, Point.__tablename__)
    full = [
        name
        for name in names
        if connection.execute(select(Base.metadata.tables[name]).limit(1)).first()
    ]
    if full:
        raise Conflict(
            f"registry {redacted(url)} has rows already ({', '.join(sorted(full))}), which are"
            " never overwritten; move it elsewhere, or rebuild into another one with --into URL"
        )


def write_rows(connection: Connection, rows: Mapping[str, Mapping[Key, Columns]]) -> None:
    """Write the rows of all tables that the log is about.

    Args:
        connection: the transaction.
        rows: table → key → columns.

    Raises:
        IntegrityError: a table does not take them, as those of a newer release.
    """
    if unknown := rows.keys() - AUDITED.keys():
        raise IntegrityError(
            f"there is no table {', '.join(sorted(unknown))}; use the release that has written"
            " the log"
        )
    for name, table in AUDITED.items():
        try:
            _insert(connection, table, _as_columns(table, rows.get(name, {})))
        except (ValueError, TypeError, StatementError) as error:
            if isinstance(error, DatabaseError):
                raise
            raise IntegrityError(f"{name} does not take a row that the log has: {error}") from error
        number = table.autoincrement_column
        # the next row gets the next number
        if number is not None and connection.dialect.name == "postgresql":
            sequence = func.pg_get_serial_sequence(table.name, number.name)
            newest = select(func.max(number)).scalar_subquery()
            connection.execute(select(func.setval(sequence, newest)).where(newest.is_not(None)))


def _as_columns(table: Table, rows: Mapping[Key, Columns]) -> Iterator[dict[str, object]]:
    """Yield rows as their table takes them; a column that is newer than a row has its default."""
    keys = [column.name for column in table.primary_key.columns]
    for key, columns in rows.items():
        row = {**dict(zip(keys, key, strict=True)), **columns}
        if unknown := row.keys() - table.columns.keys():
            raise ValueError(
                f"it has no column {', '.join(sorted(unknown))}; use the release that has written"
                " the log"
            )
        yield {column.name: _value(column, row) for column in table.columns}


def _value(column: Column[Any], row: Mapping[str, object]) -> object:
    if column.name not in row:
        return default_of(column.table, column.name)
    value = row[column.name]
    if value is None or not isinstance(column.type, UtcDateTime):
        return value
    return datetime.fromisoformat(str(value))


def write_log(connection: Connection, entries: Iterable[tuple[int, str, str]]) -> None:
    """Write the entries of a log (number, checksum, text) as they are."""
    _insert(
        connection,
        Base.metadata.tables[LogEntry.__tablename__],
        (dict(zip(_ENTRY, entry, strict=True)) for entry in entries),
    )


def _insert(connection: Connection, table: Table, rows: Iterable[dict[str, object]]) -> None:
    remaining = iter(rows)
    while some := list(islice(remaining, _ROWS)):
        connection.execute(insert(table), some)
