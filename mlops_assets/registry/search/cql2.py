"""Finding runs: filters and orders on anything a run has recorded.

Filters are in CQL2 text, the OGC's filter language. The database evaluates them; only the runs that
are returned are loaded. Names are resolved in `fields`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from datetime import UTC, datetime
from typing import Any, TypeAlias

from sqlalchemy import ColumnElement, and_, func, literal, not_, or_, select, true
from sqlalchemy.sql import operators
from sqlalchemy.sql.operators import OperatorType

from mlops_assets.errors import SpecificationError
from mlops_assets.registry.schema import Run
from mlops_assets.registry.search.fields import NUMBERS_ONLY, Field, Kind, field, truth
from mlops_assets.registry.search.suggestions import LITERALS, all_known
from mlops_assets.registry.session import RegistrySession
from mlops_assets.text.json_values import Json

NEWEST = "-started"
_AT_ONCE = 500
# The parser takes time that doubles with each parenthesis of a filter that is not valid, and
# crashes at thousands of them, or of signs before a number.
MAX_DEPTH = 12
MAX_LENGTH = 4000
_DOUBLED = re.compile(r"'[^']*'|\"[^\"]*\"")
_SIGNS = re.compile(r"[-+][-+\s]*")
_BACKSLASHED = re.compile(r"'(?:\\.|[^'\\])*'|\"(?:\\.|[^\"\\])*\"", re.DOTALL)
_COMPARISONS: dict[str, OperatorType] = {
    "=": operators.eq,
    "<>": operators.ne,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}
_TURNED = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WRITTEN = {
    "number": "0.5",
    "text": "'text'",
    "truth": "true",
    "time": "TIMESTAMP('2026-01-31T12:00:00Z')",
}
_LANGUAGE = (
    "compare names with =, <>, <, <=, >, >=, IN, LIKE, BETWEEN or IS NULL, and join comparisons"
    " with AND, OR, NOT; texts stand in single quotes, names with other characters than letters,"
    " digits, '_' and '.' in double ones"
)


def search_runs(
    registry: RegistrySession,
    model: str | None = None,
    where: str | None = None,
    sort: str = NEWEST,
    limit: int | None = 50,
) -> list[Run]:
    """Return runs that a filter holds for, in an order.

    Args:
        registry: has the runs.
        model: only runs of this model.
        where: a filter in CQL2 text, such as `macro_f1 > 0.8 AND params.learning_rate < 0.01`.
        sort: name to sort by, ascending, or descending with `-` before it; runs without it come
            last, and equal ones newest first.
        limit: at most so many; all if None.

    Raises:
        SpecificationError: the filter or the order cannot be read.
        NotFound: no run has a property in the filter.
    """
    with registry.reading() as session:
        dialect = session.get_bind().dialect.name
        chosen: ColumnElement[bool] = true() if model is None else Run.model == model
        translation = _Translation(dialect)
        condition = translation.read(where) if where is not None else true()
        order = translation.order(sort)
        if not all_known(session, chosen, translation.used):
            return []
        query = select(Run.run_id).where(chosen, condition).order_by(*order)
        # ids first: a database that sorts whole runs takes several times as long
        ids = session.scalars(query if limit is None else query.limit(limit)).all()
        runs: dict[str, Run] = {}
        for first in range(0, len(ids), _AT_ONCE):
            rows = session.scalars(select(Run).where(Run.run_id.in_(ids[first : first + _AT_ONCE])))
            runs |= {run.run_id: run for run in rows}
        return [runs[run_id] for run_id in ids]


def names_in(where: str) -> list[str]:
    """Return the names that a filter mentions, each once.

    Raises:
        SpecificationError: it cannot be read.
    """
    translation = _Translation("sqlite")
    translation.read(where)
    return list(dict.fromkeys(translation.mentioned))


@dataclass(frozen=True)
class _Property:
    """A name of a run's property in a filter."""

    name: str


@dataclass(frozen=True)
class _Moment:
    """A time in a filter, as text.

    Attributes:
        kind: `timestamp` or `date`.
        text: as written.
    """

    kind: str
    text: str


@dataclass(frozen=True)
class _Operation:
    """An operator of a filter with its arguments."""

    operator: str
    arguments: list[_Node]


@dataclass(frozen=True)
class _Unsupported:
    """A part of a filter that is valid CQL2, and has no counterpart in runs."""

    name: str


_Node: TypeAlias = (
    "bool | float | str | _Property | _Moment | _Operation | _Unsupported | list[_Node] | None"
)


@dataclass
class _Translation:
    """Translates filters to SQL, and records the names in them."""

    dialect: str
    where: str = ""
    used: list[tuple[Field, Kind | None, ColumnElement[Any]]] = dataclass_field(
        default_factory=list
    )
    mentioned: list[str] = dataclass_field(default_factory=list)

    def read(self, where: str) -> ColumnElement[bool]:
        self.where = where
        try:
            return self.condition(_parsed(where))
        except RecursionError:
            raise self._refused("it is nested too deeply") from None

    def order(self, sort: str) -> list[ColumnElement[Any]]:
        name = sort.removeprefix("-")
        descending = sort.startswith("-")
        found = field(name)
        several: list[Kind | None] = (
            ["number"] if found.column in NUMBERS_ONLY else ["number", "text", "truth"]
        )
        kinds = several if found.keys else [found.kind]
        keys = [found.sql(kind, self.dialect) for kind in kinds]
        if found.keys:
            self.used.append((found, None, found.sql(None, self.dialect)))
        newest = [] if found.column == "started" else [Run.started.desc()]
        in_order = [key.desc() if descending else key.asc() for key in keys]
        # NULLS LAST would keep the database from using an index
        required = not found.keys and not Run.__table__.columns[found.column].nullable
        return [
            *(in_order if required else [key.nulls_last() for key in in_order]),
            *newest,
            Run.run_id.asc(),
        ]

    def condition(self, node: _Node) -> ColumnElement[bool]:
        if isinstance(node, bool):
            return literal(node)
        if isinstance(node, _Property):  # true or false by itself
            return self.value(node, "truth") == truth(True)
        if not isinstance(node, _Operation):
            raise self._refused(f"{_shown(node)} is not a comparison")
        operator = node.operator
        arguments = node.arguments
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
        raise self._refused(f"{operator} is not supported here")

    def _comparison(self, operator: str, left: _Node, right: _Node) -> ColumnElement[bool]:
        if left is None or right is None:
            raise self._refused("nothing equals NULL; write IS NULL or IS NOT NULL")
        kind = self._kind(left, right)
        if not _names(left) and _names(right):  # the name first, as the database's types follow it
            left, right, operator = right, left, _TURNED.get(operator, operator)
        return self.value(left, kind).operate(_COMPARISONS[operator], self.value(right, kind))

    def _like(self, compared: _Node, pattern: _Node) -> ColumnElement[bool]:
        lower = isinstance(pattern, _Operation) and pattern.operator == "casei"
        text = pattern.arguments[0] if isinstance(pattern, _Operation) and lower else pattern
        if not isinstance(text, str):
            raise self._refused(
                "LIKE takes a text in single quotes, in which % is anything and _ one character"
            )
        text = text.lower() if lower else text
        value = self.value(compared, "text")
        if self.dialect == "postgresql":
            return value.like(
                "".join(_pattern(text, "%", "_", lambda c: f"\\{c}" if c in "%_\\" else c)),
                escape="\\",
            )
        # SQLite's LIKE takes small and large letters for the same, its GLOB does not
        return value.op("GLOB", is_comparison=True)(
            "".join(_pattern(text, "*", "?", lambda c: f"[{c}]" if c in "*?[" else c))
        )

    def _kind(self, *nodes: _Node) -> Kind:
        """Return the kind of values that are compared, by the columns and literals.

        It is numbers if none has a kind.
        """
        kinds = [kind for node in nodes if (kind := self._own_kind(node)) is not None]
        if "time" in kinds and not any(isinstance(node, bool | int | float) for node in nodes):
            return "time"  # a time may be written as a text
        if len(set(kinds)) > 1:
            raise self._refused(self._disagreement(nodes, kinds))
        return kinds[0] if kinds else "number"

    def _disagreement(self, nodes: Sequence[_Node], kinds: Sequence[Kind]) -> str:
        for node in nodes:
            if _names(node):
                found = field(_names(node)[0])
                if found.kind is not None:
                    return (
                        f"{found.name} is {LITERALS[found.kind]}; write it like"
                        f" {_WRITTEN[found.kind]}"
                    )
        return f"{' and '.join(LITERALS[kind] for kind in dict.fromkeys(kinds))} cannot be compared"

    def _own_kind(self, node: _Node) -> Kind | None:
        if isinstance(node, bool):
            return "truth"
        if isinstance(node, (int, float)):
            return "number"
        if isinstance(node, str):
            return "text"
        if isinstance(node, _Property):
            return field(node.name).kind
        if isinstance(node, _Moment):
            return "time"
        if isinstance(node, _Operation) and node.operator == "casei":
            return "text"
        raise self._refused(f"{_shown(node)} is not supported here")

    def value(self, node: _Node, kind: Kind | None) -> ColumnElement[Any]:
        """Return a name or a literal as a value of a kind."""
        if isinstance(node, _Property):
            found = field(node.name)
            self.mentioned.append(found.name)
            if kind is not None and found.kind not in (None, kind):
                raise self._refused(self._disagreement([node], []))
            sql = found.sql(kind, self.dialect)
            if found.keys:
                self.used.append((found, kind, sql))
            return sql
        if isinstance(node, _Operation) and node.operator == "casei":
            return func.lower(self.value(node.arguments[0], "text"))
        if kind == "time":
            return literal(self._time(node), Run.__table__.columns.started.type)
        if kind == "truth" and isinstance(node, bool):
            return truth(node)
        if isinstance(node, (str, int, float)):
            return literal(node)
        raise self._refused(f"{_shown(node)} is not supported here")

    def _time(self, node: _Node) -> datetime:
        text = node.text if isinstance(node, _Moment) else node
        try:
            moment = datetime.fromisoformat(str(text))
        except ValueError:
            raise self._refused(
                f"{_shown(text)} is not a time; write {_WRITTEN['time']} or '2026-01-31'"
            ) from None
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def _refused(self, why: str) -> SpecificationError:
        return SpecificationError(f"the filter {self.where!r} cannot be used: {why}; {_LANGUAGE}")


def _parsed(where: str) -> _Node:
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
            f"the filter {where!r} cannot be read at {at}: {seen}; {_LANGUAGE}"
        ) from error
    return _node(document)


def _node(value: Json) -> _Node:
    """Return a part of a filter from CQL2 JSON."""
    if isinstance(value, list):
        return [_node(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"op": str(operator), "args": list(arguments)}:
            return _Operation(operator, [_node(argument) for argument in arguments])
        case {"property": str(name)}:
            return _Property(name)
        case {"timestamp": str(text)}:
            return _Moment("timestamp", text)
        case {"date": str(text)}:
            return _Moment("date", text)
    return _Unsupported(next(iter(value), "this"))


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


def _names(node: _Node) -> list[str]:
    if isinstance(node, _Operation) and node.operator == "casei":
        return _names(node.arguments[0])
    return [node.name] if isinstance(node, _Property) else []


def _shown(node: _Node) -> str:
    match node:
        case _Operation(operator=operator):
            return f"the operator {operator!r}"
        case _Unsupported(name=name) | _Moment(kind=name):
            return repr(name)
        case _:
            return repr(node)


def _pattern(text: str, many: str, one: str, plain: Callable[[str], str]) -> Iterator[str]:
    """Yield a pattern of CQL2 as another one.

    Its wildcards are % and _; a backslash escapes them.
    """
    characters = iter(text)
    for character in characters:
        if character == "\\":
            yield plain(next(characters, "\\"))
        else:
            yield {"%": many, "_": one}.get(character) or plain(character)
