"""Names of Items' properties in filters and orders, and filters with arrays, times and places.

The language itself is translated in `search.translate`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    DateTime,
    String,
    Text,
    and_,
    case,
    cast,
    exists,
    false,
    func,
    literal,
    literal_column,
    not_,
    null,
    or_,
    select,
    true,
)
from sqlalchemy.dialects.postgresql import JSONB

from mlops_assets.errors import SpecificationError
from mlops_assets.registry.schema import StacItem, UtcDateTime
from mlops_assets.registry.search.cql2 import (
    MAX_LENGTH,
    Interval,
    Named,
    Node,
    Operation,
    Shape,
    check_size,
    parsed,
)
from mlops_assets.registry.search.json_sql import Kind, in_postgresql, in_sqlite
from mlops_assets.registry.search.translate import Translation
from mlops_assets.text.json_values import Json, JsonObject

# of the table, as statements on classes take longer to compose and to run
ITEMS = StacItem.__table__.c
COLUMNS: dict[str, tuple[str, Kind]] = {
    "id": ("id", "text"),
    "collection": ("collection", "text"),
    "datetime": ("moment", "time"),
}
MAX_PLACES = 20  # geometries of a filter
_PREFIX = "properties."
# RFC 3339, as far as PostgreSQL reads it as one
_TIME = r"^\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d(\.\d+)?)?([Zz]|[-+]\d\d(:?\d\d)?)?)?$"
_ARRAYS = ("a_contains", "a_overlaps", "a_containedby", "a_equals")
_KEPT = 256  # filters
# of PostgreSQL, where it is a value; written out, as in `RECORD_INDEXES`
_JSON_NULL: ColumnElement[Any] = literal_column("'null'::jsonb", JSONB)
_TIMES = ("t_intersects", "t_disjoint", "t_before", "t_after", "t_during", "t_equals")


@dataclass(frozen=True)
class ItemField:
    """A property of Items, by its name in a filter.

    Attributes:
        name: as written, without `properties.`.
    """

    name: str

    @property
    def keys(self) -> tuple[str, ...]:
        """The path within the properties; empty for a column."""
        return () if self.name in COLUMNS else tuple(self.name.split("."))

    @property
    def kind(self) -> Kind | None:
        """The kind of a column; None for a property, of which every Item may have another one."""
        return COLUMNS[self.name][1] if self.name in COLUMNS else None

    def sql(self, kind: Kind | None, dialect: str) -> ColumnElement[Any]:
        """Return its value in SQL, or NULL where an Item has none of this kind."""
        if not self.keys:
            return ITEMS[COLUMNS[self.name][0]]
        if kind == "time":
            return _time(self.sql("text", dialect), dialect)
        read = in_postgresql if dialect == "postgresql" else in_sqlite
        found = [read(ITEMS.properties, path, kind, True) for path in self._paths]
        return found[0] if len(found) == 1 else func.coalesce(*found)

    def ordered(self, dialect: str) -> ColumnElement[Any]:
        """Return its value in SQL as Items are sorted by it, whatever kind it is of.

        It is written as in `RECORD_INDEXES`, so that the index is used.
        """
        if not self.keys:
            return self.sql(None, dialect)
        if dialect == "postgresql":
            value = func.jsonb_extract_path(
                ITEMS.properties, *map(_written, self._paths[0]), type_=JSONB
            )
            return func.nullif(value, _JSON_NULL, type_=JSONB)
        return func.json_extract(ITEMS.properties, _written(json_path(self._paths[0])))

    def array(self, dialect: str) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
        """Return its value as JSON, and whether that is a list."""
        path = self._paths[0]
        if dialect == "postgresql":
            value = func.jsonb_extract_path(ITEMS.properties, *path, type_=JSONB)
            return value, func.jsonb_typeof(value) == "array"
        where = json_path(path)
        return (
            func.json_extract(ITEMS.properties, where, type_=Text),
            func.json_type(ITEMS.properties, where, type_=String) == "array",
        )

    @property
    def _paths(self) -> list[tuple[str, ...]]:
        # a dot may be part of a name, too
        return list(dict.fromkeys([(self.name,), self.keys]))


def item_field(name: str) -> ItemField:
    """Return the property that a name refers to, with or without `properties.` before it.

    Raises:
        SpecificationError: it cannot be a name.
    """
    plain = name.removeprefix(_PREFIX)
    if (
        not plain
        or not all(plain.split("."))
        or any(character in '"\\' or not character.isprintable() for character in plain)
    ):
        raise SpecificationError(
            f"{name[:80]!r} is not a valid name of a property of Items; a name has no quotes,"
            " backslashes or control characters, and no empty part"
        )
    return ItemField(plain)


def json_path(keys: tuple[str, ...]) -> str:
    """Return the path of a value as SQLite writes it."""
    return "$" + "".join(f'."{key}"' for key in keys)


@dataclass
class ItemTranslation(Translation[ItemField]):
    """Translates filters on Items.

    Attributes:
        places: geometries that Items intersect by the filter, as GeoJSON or `bbox`.
    """

    places: list[JsonObject] = field(default_factory=list)

    def read(self, where: str | JsonObject) -> ColumnElement[bool]:
        """Return the condition of a filter; what it states on geometries is in `places`.

        Raises:
            SpecificationError: it cannot be read, or compares what cannot be compared.
        """
        self.where = where
        try:
            found = [self.condition(node) for node in self._without_places(parsed(where))]
        except RecursionError:
            raise self.refused("it is nested too deeply") from None
        return and_(true(), *found)

    def condition(self, node: Node) -> ColumnElement[bool]:
        """Return the condition of a node.

        Raises:
            SpecificationError: it compares what cannot be compared.
        """
        operator = node.operator.lower() if isinstance(node, Operation) else ""
        if isinstance(node, Operation) and operator in (*_ARRAYS, *_TIMES):
            if len(node.arguments) != 2:
                raise self.refused(f"{operator} takes two arguments")
            if operator in _ARRAYS:
                return self._array(operator, *node.arguments)
            return self._temporal(operator, *node.arguments)
        if operator.startswith("s_"):
            raise self.refused(
                "of places it can have S_INTERSECTS(geometry, …), joined to the rest by AND"
            )
        return super().condition(node)

    def _without_places(self, node: Node) -> list[Node]:
        """Return the parts of a filter that are joined by AND, and take out its places."""
        match node:
            case Operation("and", arguments):
                return [part for each in arguments for part in self._without_places(each)]
            case Operation("s_intersects", [Named("geometry"), Shape(geometry)]) | Operation(
                "s_intersects", [Shape(geometry), Named("geometry")]
            ):
                self.places.append(geometry)
                if len(self.places) > MAX_PLACES:
                    raise self.refused(f"it has more than {MAX_PLACES} geometries")
                return []
        return [node]

    def _array(self, operator: str, tested: Node, listed: Node) -> ColumnElement[bool]:
        given: list[Node] = [*listed] if isinstance(listed, list) else [listed]
        values = [value for value in given if isinstance(value, str | int | float)]
        if not isinstance(tested, Named) or len(values) < len(given):
            raise self.refused(f"{operator.upper()} takes a name and a list of texts or numbers")
        found = self.field(tested.name)
        if not found.keys:
            raise self.refused(f"{found.name} is not a list")
        array, is_array = found.array(self.dialect)
        if self.dialect == "postgresql":
            return and_(is_array, _array_in_postgresql(operator, array, values))
        return and_(is_array, _array_in_sqlite(operator, found, array, values))

    def _temporal(self, operator: str, left: Node, right: Node) -> ColumnElement[bool]:
        starts, ends = self._span(left)
        first, last = self._span(right)
        before = _compared(ends, first, "<")
        after = _compared(starts, last, ">")
        if operator == "t_before":
            return before
        if operator == "t_after":
            return after
        if operator == "t_disjoint":
            return or_(before, after)
        if operator == "t_intersects":
            return not_(or_(before, after))
        if operator == "t_during":
            return and_(
                true() if first is None else _compared(starts, first, ">"),
                true() if last is None else _compared(ends, last, "<"),
            )
        return and_(_compared(starts, first, "="), _compared(ends, last, "="))

    def _span(self, node: Node) -> tuple[ColumnElement[Any] | None, ColumnElement[Any] | None]:
        """Return the first and the last moment of a value; None where it is open."""
        if isinstance(node, Named) and node.name.removeprefix(_PREFIX) == "datetime":
            return ITEMS.starts, ITEMS.ends
        if isinstance(node, Interval):
            ends = (
                None if end is None else literal(self.time(end), UtcDateTime())
                for end in (node.start, node.end)
            )
            return next(ends), next(ends)
        return (self.value(node, "time"),) * 2


@dataclass(frozen=True)
class ItemFilter:
    """A filter on Items.

    Attributes:
        condition: of all that it states on properties.
        places: geometries that Items intersect by it, as GeoJSON or `bbox`.
    """

    condition: ColumnElement[bool]
    places: Sequence[JsonObject]


def item_filter(where: str | JsonObject, dialect: str) -> ItemFilter:
    """Return a filter, which is translated once, as callers repeat it for each page and area.

    Args:
        where: CQL2 text, or CQL2 JSON.
        dialect: `sqlite` or `postgresql`.

    Raises:
        SpecificationError: it cannot be read, or compares what cannot be compared.
    """
    if isinstance(where, str):
        return _translated(where, False, dialect)
    check_size(where)
    text = json.dumps(where)
    translated = _translated if len(text) <= MAX_LENGTH else _translated.__wrapped__
    return translated(text, True, dialect)


@lru_cache(_KEPT)
def _translated(text: str, is_json: bool, dialect: str) -> ItemFilter:
    translation = ItemTranslation(item_field, dialect)
    condition = translation.read(json.loads(text) if is_json else text)
    return ItemFilter(condition, tuple(translation.places))


def _compared(
    left: ColumnElement[Any] | None, right: ColumnElement[Any] | None, operator: str
) -> ColumnElement[bool]:
    """Return a comparison of two moments, which is false if one is open."""
    if left is None or right is None:
        return false()
    return left.bool_op(operator)(right)


def _array_in_sqlite(
    operator: str, found: ItemField, array: ColumnElement[Any], values: list[str | float]
) -> ColumnElement[bool]:
    if operator == "a_equals":
        return array == func.json_extract(json.dumps(values), "$", type_=Text)
    each = func.json_each(ITEMS.properties, json_path((found.name,))).table_valued("value")
    if operator == "a_containedby":
        return ~exists().where(each.c.value.not_in(values)).select_from(each)
    if operator == "a_overlaps":
        return exists().where(each.c.value.in_(values)).select_from(each)
    contained = select(func.count(each.c.value.distinct())).where(each.c.value.in_(values))
    return contained.scalar_subquery() == len(set(values))


def _array_in_postgresql(
    operator: str, array: ColumnElement[Any], values: list[str | float]
) -> ColumnElement[bool]:
    def listed(*some: str | float) -> ColumnElement[Any]:
        return cast(literal(json.dumps(some), Text), JSONB)

    if operator == "a_equals":
        return array == listed(*values)
    if operator == "a_containedby":
        return array.bool_op("<@")(listed(*values))
    if operator == "a_contains":
        return array.bool_op("@>")(listed(*values))
    return or_(false(), *(array.bool_op("@>")(listed(value)) for value in values))


def _time(text: ColumnElement[Any], dialect: str) -> ColumnElement[Any]:
    """Return a text as a time, or NULL."""
    if dialect == "postgresql":
        return case((text.regexp_match(_TIME), cast(text, DateTime(timezone=True))), else_=null())
    # as `UtcDateTime` is kept there, to milliseconds
    return func.strftime("%Y-%m-%d %H:%M:%f000", text, type_=UtcDateTime())


def _written(text: str) -> ColumnElement[str]:
    """Return a text that is part of the statement, as indexes on expressions demand it."""
    return literal(text, String, literal_execute=True)


def sort_value(value: Json, dialect: str) -> ColumnElement[Any] | Json:
    """Return a value to compare with `ItemField.ordered` of a property."""
    return cast(literal(json.dumps(value), Text), JSONB) if dialect == "postgresql" else value
