"""Names of a run in filters, orders and listings, and their places in the database.

A bare name is a column of the run, else a metric; `params.NAME`, `metrics.NAME`, `tags.NAME`,
`usage.NAME`, `phases.NAME`, `hardware.NAME` and `code.NAME` reach into its documents. Filters are
read in `cql2`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ColumnElement,
    DateTime,
    Float,
    Integer,
    String,
    Text,
    case,
    cast,
    func,
    literal,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import InstrumentedAttribute

from mlops_assets.errors import SpecificationError
from mlops_assets.registry.schema import Run, UtcDateTime

Kind = Literal["number", "text", "truth", "time"]
Document: TypeAlias = InstrumentedAttribute[dict[str, object]]
DOCUMENTS = {
    "params": "parameters",
    "parameters": "parameters",
    "metrics": "metrics",
    "tags": "tags",
    "usage": "usage",
    "phases": "phases",
    "hardware": "hardware",
    "code": "code",
}
# elsewhere a dot is part of the name, as in the metric recall.wheat
NESTED = {
    "parameters",
    "hardware",
}
NUMBERS_ONLY = {"metrics", "usage", "phases"}
COLUMNS = tuple(
    column.name for column in Run.__table__.columns if column.name not in DOCUMENTS.values()
)
# a number written as text, as imported parameters and tags are; exponents of two digits cannot
# overflow
_NUMBER = r"^\s*[+-]?(\d{1,20}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?\s*$"


@dataclass(frozen=True)
class Field:
    """A property of runs, by its name in a filter.

    Attributes:
        name: as written.
        column: attribute of `Run` that holds it.
        keys: path within a document; empty for a plain column.
    """

    name: str
    column: str
    keys: tuple[str, ...] = ()

    @property
    def kind(self) -> Kind | None:
        """The kind of values of a plain column.

        It is None for a document, in which every run may hold something else.
        """
        if self.keys:
            return None
        column = Run.__table__.columns[self.column].type
        if isinstance(column, (UtcDateTime, DateTime)):
            return "time"
        return "number" if isinstance(column, (Integer, Float)) else "text"

    @property
    def noun(self) -> str:
        """The noun for it in messages."""
        return {"parameters": "parameter", "metrics": "metric", "tags": "tag"}.get(
            self.column, self.column
        )

    @property
    def key(self) -> str:
        """Its name within the document."""
        return ".".join(self.keys)

    def value(self, run: Run) -> object:
        """Return its value in a loaded run; None if the run has none."""
        found: object = getattr(run, self.column)
        if not self.keys or not isinstance(found, dict):
            return found
        if self.key in found:
            return found[self.key]
        for part in self.keys:
            found = found.get(part) if isinstance(found, dict) else None
        return found

    def sql(self, kind: Kind | None, dialect: str) -> ColumnElement[Any]:
        """Return its value in SQL, or NULL where a run has none of this kind.

        Args:
            kind: of the values wanted; None for all, as text.
            dialect: `sqlite` or `postgresql`.
        """
        column = getattr(Run, self.column)
        if not self.keys:
            return column  # type: ignore[no-any-return]
        read = _in_postgresql if dialect == "postgresql" else _in_sqlite
        paths = list(dict.fromkeys([(self.key,), self.keys]))
        numeric = self.column in NUMBERS_ONLY
        found = [read(column, path, kind, numeric) for path in paths]
        return found[0] if len(found) == 1 else func.coalesce(*found)


def field(name: str) -> Field:
    """Return the property that a name refers to.

    Raises:
        SpecificationError: it cannot be a name.
    """
    if name in COLUMNS:
        return Field(name, name)
    document, dot, rest = name.partition(".")
    column = DOCUMENTS.get(document) if dot else None
    if column is None:
        column = "metrics"
        rest = name
    keys = tuple(rest.split(".")) if column in NESTED else (rest,)
    if not all(keys) or any(character in rest for character in '"\\\0'):
        raise SpecificationError(
            f"{name!r} is not a valid name of a property of runs; a name has no quotes or"
            " backslashes, and no empty part"
        )
    return Field(name, column, keys)


def _in_postgresql(
    column: Document, path: tuple[str, ...], kind: Kind | None, numeric: bool
) -> ColumnElement[Any]:
    value = func.jsonb_extract_path(column, *path, type_=JSONB)
    text = func.jsonb_extract_path_text(column, *path, type_=Text)
    held = func.jsonb_typeof(value)
    if kind == "number":
        written = (
            ()
            if numeric
            else (((held == "string") & text.regexp_match(_NUMBER), cast(text, Float(53))),)
        )
        return case((held == "number", cast(value, Float(53))), *written)
    if kind == "truth":
        return case((held == "boolean", text))
    return case((held == "string", text)) if kind == "text" else text


def _in_sqlite(
    column: Document, path: tuple[str, ...], kind: Kind | None, numeric: bool
) -> ColumnElement[Any]:
    """Read JSON that is kept as text.

    Letters beyond ASCII may be escaped in it, and keys are compared as written.
    """
    if not all(part.isascii() for part in path):
        escaped = tuple(json.dumps(part)[1:-1] for part in path)
        written = [
            _in_sqlite_at(column, each, kind, numeric) for each in dict.fromkeys([path, escaped])
        ]
        return func.coalesce(*written)
    return _in_sqlite_at(column, path, kind, numeric)


def _in_sqlite_at(
    column: Document, path: tuple[str, ...], kind: Kind | None, numeric: bool
) -> ColumnElement[Any]:
    where = "$" + "".join(f'."{part}"' for part in path)
    held = func.json_type(column, where, type_=String)
    value = func.json_extract(column, where, type_=Text)
    if kind == "number":
        number = func.json_extract(column, where, type_=Float)
        if numeric:
            return case((held.in_(["integer", "real"]), number))
        # JSON's own grammar of numbers decides whether a text is one; each test only where the one
        # before it holds
        written = case(
            (
                func.json_valid(value) == 1,
                case((func.json_type(value).in_(["integer", "real"]), cast(value, Float))),
            )
        )
        return case((held.in_(["integer", "real"]), number), (held == "text", written))
    if kind == "truth":
        return case((held.in_(["true", "false"]), held))
    return case((held == "text", value)) if kind == "text" else value


def truth(value: bool) -> ColumnElement[str]:
    """Return a truth value as `Field.sql` reads it."""
    return literal("true" if value else "false", Text)
