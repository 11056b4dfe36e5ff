"""CQL2, the OGC's filter language: its texts and JSON as nodes.

Nodes are translated to SQL in `translate`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from mlops_assets.errors import SpecificationError
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.strict_json import check_scalar

# The parser takes time that doubles with each parenthesis of a filter that is not valid, and
# crashes at thousands of them, or of signs before a number.
MAX_DEPTH = 12
MAX_LENGTH = 4000
# of CQL2 JSON; databases limit how deep an expression is, and SQLite counts each of a list
MAX_JSON_DEPTH = 32
MAX_PARTS = 500
MAX_VALUES = 10_000
_DOUBLED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SIGNS = re.compile(r"[-+][-+\s]*")
_BACKSLASHED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
LANGUAGE = (
    "compare names with =, <>, <, <=, >, >=, IN, LIKE, BETWEEN or IS NULL, and join comparisons"
    " with AND, OR, NOT; texts stand in single quotes, names with other characters than letters,"
    " digits, '_' and '.' in double ones"
)


@dataclass(frozen=True)
class Named:
    """A name of a property in a filter."""

    name: str


@dataclass(frozen=True)
class Moment:
    """A time in a filter, as text.

    Attributes:
        kind: `timestamp` or `date`.
        text: as written.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class Interval:
    """Two times in a filter; None where it is open."""

    start: str | None
    end: str | None


@dataclass(frozen=True)
class Shape:
    """A geometry in a filter, as GeoJSON."""

    geometry: JsonObject


@dataclass(frozen=True)
class Operation:
    """An operator of a filter with its arguments."""

    operator: str
    arguments: list[Node]


@dataclass(frozen=True)
class Unsupported:
    """A part of a filter that is valid CQL2, and cannot be compared here."""

    name: str


Node: TypeAlias = (
    "bool | float | str | Named | Moment | Interval | Shape | Operation | Unsupported"
    " | list[Node] | None"
)


def parsed(where: str | JsonObject) -> Node:
    """Return the nodes of a filter.

    Args:
        where: CQL2 text, or CQL2 JSON.

    Raises:
        SpecificationError: it cannot be read.
    """
    if isinstance(where, dict):
        check_size(where)
        return node_of(where)
    import cql2

    if len(where) > MAX_LENGTH or _depth(where) > MAX_DEPTH:
        raise SpecificationError(
            f"the filter {where[:80]!r}… cannot be used: it has more than {MAX_LENGTH:,}"
            f" characters, parentheses more than {MAX_DEPTH} deep, or as many signs in a row; split"
            " it, or leave out parentheses"
        )
    try:
        document = cql2.Expr(where).to_json()
    except Exception as error:
        place = re.search(r"--> (\d+):(\d+)", str(error))
        line, column = (int(part) for part in place.groups()) if place else (1, 1)
        lines = where.splitlines() or [""]
        rest = lines[line - 1][column - 1 :].strip() if line <= len(lines) else ""
        at = f"line {line}, character {column}" if len(lines) > 1 else f"character {column}"
        seen = f"found {rest!r}" if rest else "it ends there"
        raise SpecificationError(
            f"the filter {where!r} cannot be read at {at}: {seen}; {LANGUAGE}"
        ) from error
    return node_of(document)


def node_of(value: Json) -> Node:
    """Return a part of a filter from CQL2 JSON."""
    if isinstance(value, list):
        return [node_of(each) for each in value]
    if not isinstance(value, dict):
        return _scalar(value)
    match value:
        # as drafts of CQL2 had it, and clients still write it
        case {"op": "between", "args": [tested, [lower, upper]]}:
            return Operation("between", [node_of(each) for each in (tested, lower, upper)])
        case {"op": str(operator), "args": list(arguments)}:
            return Operation(operator, [node_of(argument) for argument in arguments])
        case {"property": str(name)}:
            return Named(name)
        case {"timestamp": str(text)}:
            return Moment("timestamp", text)
        case {"date": str(text)}:
            return Moment("date", text)
        case {"interval": [start, end]}:
            return Interval(*(None if each in ("..", "") else _text(each) for each in (start, end)))
        case {"type": str(), "coordinates": list()} | {"type": str(), "geometries": list()}:
            return Shape(value)
        case {"bbox": list(sides)}:
            return Shape({"bbox": sides})
    return Unsupported(next(iter(value), "this"))


def _scalar(value: bool | int | float | str | None) -> Node:
    """Return a text, number or truth as both databases take it.

    Raises:
        SpecificationError: it is none that they have.
    """
    try:
        if not isinstance(value, float):  # an infinity is larger than all
            check_scalar(value)
    except ValueError as error:
        raise SpecificationError(f"the filter cannot be used: {error}") from error
    # SQLite has no larger integer
    return float(value) if isinstance(value, int) and value >= 2**63 else value


def _text(value: Json) -> str:
    """Return an end of an interval, which CQL2 JSON may also write as an object."""
    match value:
        case {"timestamp": str(text)} | {"date": str(text)}:
            return text
    return str(value)


def check_size(where: JsonObject) -> None:
    """Check how deep CQL2 JSON is, and how many parts it has, but for positions of geometries.

    Raises:
        SpecificationError: too deep, too many, or a number is not finite.
    """
    parts = values = 0
    level: list[Json] = [where]
    for _ in range(MAX_JSON_DEPTH):
        level = [child for value in level for child in _children(value)]
        parts += sum(isinstance(value, dict) and "op" in value for value in level)
        values += len(level)
        if not level or values > MAX_VALUES:
            break
        if any(isinstance(value, float) and not math.isfinite(value) for value in level):
            raise SpecificationError(
                "the filter cannot be used: a number is NaN, infinite or too large"
            )
    if level or parts > MAX_PARTS:
        raise SpecificationError(
            f"the filter cannot be used: it is nested more than {MAX_JSON_DEPTH} deep, or has more"
            f" than {MAX_PARTS} operations or {MAX_VALUES:,} values; split it"
        )


def _children(value: Json) -> Iterable[Json]:
    if isinstance(value, dict) and not ("coordinates" in value or "geometries" in value):
        return value.values()
    return value if isinstance(value, list) else ()


def _depth(where: str) -> int:
    """Return how deep parentheses and signs go, by both ways in which quotes may be escaped."""
    deepest = 0
    for text in (_DOUBLED.sub("", where), _BACKSLASHED.sub("", where)):
        depth = 0
        for character in text:
            depth = max(0, depth + (character == "(") - (character == ")"))
            deepest = max(deepest, depth)
        deepest = max([deepest, *(len("".join(signs.split())) for signs in _SIGNS.findall(text))])
    return deepest


def names(node: Node) -> list[str]:
    """Return the name that a value refers to, if it does."""
    if isinstance(node, Operation) and node.operator == "casei":
        return [name for argument in node.arguments for name in names(argument)]
    return [node.name] if isinstance(node, Named) else []


def shown(node: Node) -> str:
    """Return a node as a message has it."""
    match node:
        case Operation(operator=operator):
            return f"the operator {operator!r}"
        case Unsupported(name=name) | Moment(kind=name):
            return repr(name)
        case Interval() | Shape():
            return "an interval" if isinstance(node, Interval) else "a geometry"
        case _:
            return repr(node)
