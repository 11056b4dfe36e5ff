"""Rows and lists of files as JSON lines, compressed by gzip: the same content, the same bytes."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Float, Table, select

from mlops_assets.errors import IntegrityError
from mlops_assets.registry.log.chain import AUDITED, canonical, kept
from mlops_assets.registry.schema import Base, LogEntry, Point, UtcDateTime

_ROWS = 5_000  # read at a time
MAX_LINE = 256 << 20  # bytes; entries of the log have the most, some MiB
# rows that a backup has: caches, records for searching and sessions of browsers are made again
TABLES: dict[str, Table] = {
    **AUDITED,
    **{name: Base.metadata.tables[name] for name in (LogEntry.__tablename__, Point.__tablename__)},
}


def write_lines(path: Path, documents: Iterable[dict[str, object]]) -> int:
    """Write documents; return how many there were.

    Args:
        path: of the new file.
        documents: one a line.
    """
    count = 0
    with path.open("wb") as raw, gzip.GzipFile("", "wb", 6, raw, mtime=0) as stream:
        for document in documents:
            stream.write(canonical(document).encode() + b"\n")
            count += 1
    return count


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the documents of a file.

    Raises:
        IntegrityError: it is not one of documents.
    """
    try:
        with gzip.open(path, "rb") as stream:
            # a few compressed bytes may become a line that fills the memory
            while line := stream.readline(MAX_LINE + 1):
                document = json.loads(line) if len(line) <= MAX_LINE else None
                if not isinstance(document, dict):
                    raise ValueError(f"a line is not an object of up to {MAX_LINE:,} bytes")
                yield document
    except (OSError, EOFError, ValueError) as error:
        raise IntegrityError(f"{path.name} of the backup cannot be read: {error}") from error


def rows_of(connection: Connection, table: Table) -> Iterator[dict[str, object]]:
    """Yield the rows of a table by key, as JSON values."""
    query = select(table).order_by(*table.primary_key.columns)
    for row in connection.execute(query.execution_options(yield_per=_ROWS)).mappings():
        yield {name: kept(value) for name, value in row.items()}


def value_of(column: ColumnElement[Any], value: object) -> object:
    """Return the value of a column from its JSON value."""
    if isinstance(column.type, UtcDateTime) and value is not None:
        return datetime.fromisoformat(str(value))
    if isinstance(column.type, Float) and isinstance(value, str):  # NaN and infinities
        return float(value)
    return value
