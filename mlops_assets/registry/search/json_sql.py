"""Values within JSON documents in SQL, by their kinds."""

from __future__ import annotations

import json
from typing import Any, Literal, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Float,
    SQLColumnExpression,
    String,
    Text,
    case,
    cast,
    func,
    literal,
)
from sqlalchemy.dialects.postgresql import JSONB

Kind = Literal["number", "text", "truth", "time"]
Document: TypeAlias = SQLColumnExpression[dict[str, object]]
LITERALS = {"number": "a number", "text": "a text", "truth": "true or false", "time": "a time"}
# a number written as text, as imported parameters and tags are; exponents of two digits cannot
# overflow
_NUMBER = r"^\s*[+-]?(\d{1,20}(\.\d{0,40})?|\.\d{1,40})([eE][+-]?\d{1,2})?\s*$"


def in_postgresql(
    column: Document, path: tuple[str, ...], kind: Kind | None, numeric: bool
) -> ColumnElement[Any]:
    """Return a value within a document, or NULL where it is not of a kind.

    Args:
        column: the document.
        path: keys within it.
        kind: of the value; None for any, as text.
        numeric: whether texts are never numbers.
    """
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


def in_sqlite(
    column: Document, path: tuple[str, ...], kind: Kind | None, numeric: bool
) -> ColumnElement[Any]:
    """Return the same of JSON that is kept as text.

    Letters beyond ASCII may be escaped in it, and keys are compared as written.
    """
    if not all(part.isascii() for part in path):
        escaped = tuple(json.dumps(part)[1:-1] for part in path)
        written = [_at(column, each, kind, numeric) for each in dict.fromkeys([path, escaped])]
        return func.coalesce(*written)
    return _at(column, path, kind, numeric)


def _at(
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
