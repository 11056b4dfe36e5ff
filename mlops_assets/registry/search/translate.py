"""Filters in CQL2 as conditions of a database.

Names are resolved by the tables that are searched: `fields` for runs, `records.fields` for Items.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import Any, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, and_, func, literal, not_, or_
from sqlalchemy.sql import operators
from sqlalchemy.sql.operators import OperatorType

from mlops_assets.errors import SpecificationError
from mlops_assets.registry.schema import UtcDateTime
from mlops_assets.registry.search.cql2 import (
    LANGUAGE,
    MAX_LENGTH,
    MAX_PARTS,
    Moment,
    Named,
    Node,
    Operation,
    names,
    parsed,
    shown,
)
from mlops_assets.registry.search.json_sql import LITERALS, Kind, truth
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.letters import small

_COMPARISONS: dict[str, OperatorType] = {
    "=": operators.eq,
    "<>": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
# numbers of arguments, of those that do not take two at most
_ARGUMENTS = {
    "and": 1,
    "or": 1,
    "not": 1,
    "isNull": 1,
    "between": 3,
    "casei": 1,
    "in": 2,
    "like": 2,
} | dict.fromkeys(_COMPARISONS, 2)
_MAX_ARGUMENTS = {
    "and": MAX_PARTS,
    "or": MAX_PARTS,
    "not": 1,
    "isNull": 1,
    "between": 3,
    "casei": 1,
}
MAX_PATTERN = 1_000  # characters of a pattern of LIKE
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WRITTEN = {
    "number": "0.5",
    "text": "'text'",
    "truth": "true",
    "time": "TIMESTAMP('2026-01-31T12:00:00Z')",
}


class Searchable(Protocol):
    """A property that filters can name."""

    @property
    def name(self) -> str:
        """The name as written."""

    @property
    def keys(self) -> tuple[str, ...]:
        """The path within a document; empty for a plain column."""

    @property
    def kind(self) -> Kind | None:
        """The kind of values of a plain column."""

    def sql(self, kind: Kind | None, dialect: str) -> ColumnElement[Any]:
        """Return its value in SQL, or NULL where a row has none of this kind."""


F = TypeVar("F", bound=Searchable)


@dataclass
class Translation(Generic[F]):
    """Translates filters to SQL, and records the names in them.

    Attributes:
        field: returns the property of a name.
        dialect: `sqlite` or `postgresql`.
        where: the filter.
        used: property, kind and SQL of each value within a document.
        mentioned: names in the filter.
    """

    field: Callable[[str], F]
    dialect: str
    where: str | JsonObject = ""
    used: list[tuple[F, Kind | None, ColumnElement[Any]]] = dataclass_field(default_factory=list)
    mentioned: list[str] = dataclass_field(default_factory=list)

    def read(self, where: str | JsonObject) -> ColumnElement[bool]:
        """Return the condition of a filter.

        Args:
            where: CQL2 text, or CQL2 JSON.

        Raises:
            SpecificationError: it cannot be read, or compares what cannot be compared.
        """
        self.where = where
        try:
            return self.condition(parsed(where))
        except RecursionError:
            raise self.refused("it is nested too deeply") from None

    def condition(self, node: Node) -> ColumnElement[bool]:
        """Return the condition of a node.

        Raises:
            SpecificationError: it compares what cannot be compared.
        """
        if isinstance(node, bool):
            return literal(node)
        if isinstance(node, Named):  # true or false by itself
            return self.value(node, "truth") == truth(True)
        if not isinstance(node, Operation):
            raise self.refused(f"{shown(node)} is not a comparison")
        operator = node.operator
        arguments = self._arguments(node)
        if operator in ("and", "or"):
            joined = and_ if operator == "and" else or_
            return joined(*(self.condition(argument) for argument in arguments))
        if operator == "not":
            return not_(self.condition(arguments[0]))
        if operator == "isNull":
            return self.value(arguments[0], None).is_(None)
        if operator in _COMPARISONS:
            return self._comparison(operator, *arguments)
        if operator == "between":
            kind = self._kind(*arguments)
            lower, upper = (self.value(end, kind) for end in arguments[1:])
            return self.value(arguments[0], kind).between(lower, upper)
        if operator == "in":
            tested, listed = arguments
            values = listed if isinstance(listed, list) else [listed]
            kind = self._kind(tested, *values)
            return self.value(tested, kind).in_([self.value(each, kind) for each in values])
        if operator == "like":
            return self._like(*arguments)
        raise self.refused(f"{operator} is not supported here")

    def _arguments(self, node: Operation) -> list[Node]:
        """Return the arguments of an operation, after checking how many there are."""
        operator, count = node.operator, len(node.arguments)
        if not _ARGUMENTS.get(operator, 0) <= count <= _MAX_ARGUMENTS.get(operator, 2):
            raise self.refused(f"{operator} does not take {count} arguments")
        return node.arguments

    def _comparison(self, operator: str, left: Node, right: Node) -> ColumnElement[bool]:
        if left is None or right is None:
            raise self.refused("nothing equals NULL; write IS NULL or IS NOT NULL")
        kind = self._kind(left, right)
        if not names(left) and names(right):  # the name first, as the database's types follow it
            left, right, operator = right, left, _TURNED.get(operator, operator)
        return self.value(left, kind).operate(_COMPARISONS[operator], self.value(right, kind))

    def _like(self, compared: Node, pattern: Node) -> ColumnElement[bool]:
        lower = isinstance(pattern, Operation) and pattern.operator == "casei"
        text = self._arguments(pattern)[0] if isinstance(pattern, Operation) and lower else pattern
        if not isinstance(text, str):
            raise self.refused(
                "LIKE takes a text in single quotes, in which % is anything and _ one character"
            )
        if len(text) > MAX_PATTERN:  # time grows with its length times that of each text
            raise self.refused(f"a pattern of LIKE has more than {MAX_PATTERN:,} characters")
        text = small(text) if lower else text
        value = self.value(compared, "text")
        if self.dialect == "postgresql":
            return value.like(
                "".join(pattern_of(text, "%", "_", lambda c: f"\\{c}" if c in "%_\\" else c)),
                escape="\\",
            )
        # SQLite's LIKE takes small and large letters for the same, its GLOB does not
        return value.op("GLOB", is_comparison=True)(
            "".join(pattern_of(text, "*", "?", lambda c: f"[{c}]" if c in "*?[" else c))
        )

    def _kind(self, *nodes: Node) -> Kind:
        """Return the kind of values that are compared, by the columns and literals.

        It is numbers if none has a kind.
        """
        kinds = [kind for node in nodes if (kind := self._own_kind(node)) is not None]
        if "time" in kinds and not any(isinstance(node, bool | int | float) for node in nodes):
            return "time"  # a time may be written as a text
        if len(set(kinds)) > 1:
            raise self.refused(self._disagreement(nodes, kinds))
        return kinds[0] if kinds else "number"

    def _disagreement(self, nodes: Sequence[Node], kinds: Sequence[Kind]) -> str:
        for node in nodes:
            if names(node):
                found = self.field(names(node)[0])
                if found.kind is not None:
                    return (
                        f"{found.name} is {LITERALS[found.kind]}; write it like"
                        f" {_WRITTEN[found.kind]}"
                    )
        return f"{' and '.join(LITERALS[kind] for kind in dict.fromkeys(kinds))} cannot be compared"

    def _own_kind(self, node: Node) -> Kind | None:
        if isinstance(node, bool):
            return "truth"
        if isinstance(node, (int, float)):
            return "number"
        if isinstance(node, str):
            return "text"
        if isinstance(node, Named):
            return self.field(node.name).kind
        if isinstance(node, Moment):
            return "time"
        if isinstance(node, Operation) and node.operator == "casei":
            return "text"
        raise self.refused(f"{shown(node)} is not supported here")

    def value(self, node: Node, kind: Kind | None) -> ColumnElement[Any]:
        """Return a name or a literal as a value of a kind."""
        if isinstance(node, Named):
            found = self.field(node.name)
            self.mentioned.append(found.name)
            if kind is not None and found.kind not in (None, kind):
                raise self.refused(self._disagreement([node], []))
            sql = found.sql(kind, self.dialect)
            if found.keys:
                self.used.append((found, kind, sql))
            return sql
        if isinstance(node, Operation) and node.operator == "casei":
            return func.lower(self.value(self._arguments(node)[0], "text"))
        if kind == "time":
            return literal(self.time(node), UtcDateTime())
        if kind == "truth" and isinstance(node, bool):
            return truth(node)
        if isinstance(node, (str, int, float)):
            return literal(node)
        raise self.refused(f"{shown(node)} is not supported here")

    def time(self, node: Node) -> datetime:
        """Return a time in the filter."""
        text = node.text if isinstance(node, Moment) else node
        try:
            moment = datetime.fromisoformat(str(text))
            # years 1 and 9999 may be left by the zone
            return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
        except (ValueError, OverflowError):
            raise self.refused(
                f"{shown(text)} is not a time; write {_WRITTEN['time']} or '2026-01-31'"
            ) from None

    def refused(self, why: str) -> SpecificationError:
        """Return the error that the filter cannot be used, as `why` states."""
        written = repr(self.where)[:MAX_LENGTH]
        return SpecificationError(f"the filter {written} cannot be used: {why}; {LANGUAGE}")


def pattern_of(text: str, many: str, one: str, plain: Callable[[str], str]) -> Iterator[str]:
    """Yield a pattern of CQL2 as another one.

    Its wildcards are % and _; a backslash escapes them.
    """
    characters = iter(text)
    for character in characters:
        if character == "\\":
            yield plain(next(characters, "\\"))
        else:
            yield {"%": many, "_": one}.get(character) or plain(character)
