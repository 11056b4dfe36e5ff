"""Search of Items and Collections: a page at a time, in an order that each row has a place in.

A page begins after the values by which the last row of the page before was sorted, so that none is
read twice or left out, and late pages take no longer than early ones. Only what a principal may see
is searched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    and_,
    false,
    func,
    literal_column,
    or_,
    select,
)
from sqlalchemy.orm import Session

from mlops_assets.errors import SpecificationError
from mlops_assets.principals import Principal
from mlops_assets.registry.records.conditions import (
    FEW,
    Conditions,
    Interval,
    Sides,
    items_in_extent,
)
from mlops_assets.registry.records.filters import (
    ITEMS,
    ItemField,
    ItemFilter,
    item_field,
    item_filter,
    sort_value,
)
from mlops_assets.registry.records.geometry import sent_geometry
from mlops_assets.registry.records.lookup import Page, read_items, sees
from mlops_assets.registry.records.rows import moment_of
from mlops_assets.registry.schema import StacItem
from mlops_assets.registry.session import RegistrySession
from mlops_assets.text.json_values import Json, JsonObject

if TYPE_CHECKING:
    import shapely

MAX_MATCHED = 10_000  # Items that are counted; of more, the number is not given
# Items that are looked up and then sorted; if they may be more, all are read in order
_FEW = 4_000
_AT_ONCE = 500
_KEPT = 256  # orders
_ANY_TIME: Interval = (None, None)


@dataclass(frozen=True)
class SortKey:
    """A property that Items are sorted by; those without it come last."""

    name: str
    descending: bool = False


# newest first
DEFAULT_ORDER = (SortKey("datetime", True),)


@dataclass(frozen=True)
class ItemQuery:
    """A search of Items.

    Attributes:
        collections: of the Items; any if None.
        ids: of the Items; any if None.
        boxes: sides of rectangles, one of which the geometry intersects; any place if None.
        geometry: that theirs intersects, as GeoJSON.
        interval: that their time intersects, with open ends; any if None.
        where: a filter in CQL2 text or JSON.
        words: words or phrases, one of which is in their description; any if empty.
        order: what they are sorted by.
        limit: Items at most.
        after: values of the last Item of the page before.
    """

    collections: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    boxes: Sequence[Sides] | None = None
    geometry: JsonObject | None = None
    interval: Interval | None = None
    where: str | JsonObject | None = None
    words: Sequence[str] = ()
    order: Sequence[SortKey] = DEFAULT_ORDER
    limit: int = 10
    after: Sequence[Json] | None = None


def search_items(registry: RegistrySession, query: ItemQuery, principal: Principal) -> Page:
    """Return a page of the Items that are searched for.

    Args:
        registry: has the Items.
        query: the search.
        principal: sees the Items.

    Raises:
        SpecificationError: the filter, a geometry, a name or `after` cannot be used.
    """
    with registry.reading() as session:
        return _Search(session, query, principal).page()


@dataclass(frozen=True)
class _Order:
    """An order of Items in which each has one place.

    Attributes:
        keys: what Items are sorted by, and whether descending.
        columns: their values.
        order_by: as statements have it.
    """

    keys: Sequence[tuple[ItemField, bool]]
    columns: Sequence[ColumnElement[Any]]
    order_by: Sequence[ColumnElement[Any]]


@lru_cache(_KEPT)
def _order(wanted: tuple[SortKey, ...], dialect: str) -> _Order:
    """Return an order, made complete by id and Collection."""
    names = {item_field(key.name).name: key.descending for key in wanted}
    # ids are unique within a Collection
    names |= {name: wanted[-1].descending for name in ("id", "collection") if name not in names}
    keys = [(ItemField(name), descending) for name, descending in names.items()]
    columns, order_by = [], []
    for number, (found, descending) in enumerate(keys):
        key = found.ordered(dialect)
        columns.append(key.label(f"key_{number}"))
        key = key.desc() if descending else key.asc()
        # columns are never NULL, and without NULLS LAST an index is read in either direction
        order_by.append(key.nulls_last() if found.keys else key)
    return _Order(keys, columns, order_by)


@dataclass
class _Search:
    """One search in one transaction.

    Attributes:
        order: in which Items are returned.
        shapes: geometries that those of Items intersect.
        boxes: lists of boxes, of each of which Items intersect one.
        where: the filter.
        few: numbers of the Items that are in place and time, if they are few, as JSON.
    """

    session: Session
    query: ItemQuery
    principal: Principal
    order: _Order = field(init=False)
    shapes: list[shapely.Geometry] = field(init=False)
    boxes: list[Sequence[Sides]] = field(init=False)
    few: str | None = field(init=False)
    where: ItemFilter | None = field(init=False)

    def __post_init__(self) -> None:
        query = self.query
        self.connection = self.session.connection()
        self.dialect = self.connection.dialect.name
        self.order = _order(tuple(query.order or DEFAULT_ORDER), self.dialect)
        self.where = None if query.where is None else item_filter(query.where, self.dialect)
        self.shapes = [_shape(place) for place in self.where.places] if self.where else []
        if query.geometry is not None:
            self.shapes.append(sent_geometry(query.geometry, "the search"))
        self.boxes = [query.boxes] if query.boxes else []
        self.boxes += [[shape.bounds] for shape in self.shapes]
        self.few = self._few()

    def page(self) -> Page:
        """Return the page."""
        query = self.query
        beyond = [self._beyond(query.after)] if query.after is not None else []
        found = self._matching(beyond)
        # the rest of a few is only counted
        rows = list(found if self.few is not None else islice(found, query.limit + 1))
        more = len(rows) > query.limit
        matched = None
        if query.after is None:
            matched = len(rows) if self.few is not None or not more else self._count()
        rows = rows[: query.limit]
        items = [row.item for row in rows]
        records, read = read_items(self.session, items, self.principal)
        after = self._values(rows[read - 1]) if more or read < len(rows) else None
        return Page(records, after, matched)

    def _conditions(self, by_collection: bool) -> Conditions:
        """Return the conditions.

        Args:
            by_collection: whether an index on Collections may be used.
        """
        query, where = self.query, self.where
        found = Conditions()
        # first, as it is compared fastest; SQLite keeps this order
        found.parts.append(sees(self.principal, StacItem))
        if self.few is not None:
            found.parts.append(FEW)
            found.values["few"] = self.few
        if where is not None:
            found.parts.append(where.condition)
        if query.collections is not None:
            found.in_collections(query.collections, by_collection)
        if query.ids is not None:
            found.with_ids(query.ids)
        if query.interval is not None:
            found.within(query.interval)
        if query.words:
            found.with_words(query.words)
        for boxes in self.boxes:
            found.in_boxes(boxes, self.dialect)
        return found

    def _few(self) -> str | None:
        """Return those Items that are in place and time, if they are few.

        SQLite does not know how many Items an R*Tree returns, and would read all in order instead.
        """
        interval = self.query.interval
        if self.dialect != "sqlite" or not (self.boxes or interval):
            return None
        return items_in_extent(self.connection, self.boxes, interval or _ANY_TIME, _FEW)

    def _skips_collections(self) -> bool:
        """Return whether an index on Collections would only delay a search.

        SQLite takes it wherever there is one, also to read a whole Collection and to sort it then.
        """
        names = self.query.collections
        if self.dialect != "sqlite" or names is None or self.query.ids is not None:
            return False
        return self.few is not None or self._has_many(names)

    def _has_many(self, collections: Sequence[str]) -> bool:
        """Return whether Collections have more than a few Items."""
        own = Conditions()
        own.in_collections(collections, by_index=True)
        some: Select[Any] = select(literal_column("1")).select_from(StacItem.__table__)
        some = some.where(*own.parts)
        counted = select(func.count()).select_from(some.limit(_FEW + 1).subquery())
        return (self.connection.scalar(counted, own.values) or 0) > _FEW

    def _beyond(self, after: Sequence[Json]) -> ColumnElement[bool]:
        """Return the condition of the rows after one, given by its values."""
        condition: ColumnElement[bool] = false()
        if len(after) != len(self.order.keys):
            raise _not_of_the_search()
        for (found, descending), value in reversed(list(zip(self.order.keys, after, strict=True))):
            key = found.ordered(self.dialect)
            if value is None:
                condition = and_(key.is_(None), condition)
                continue
            bound = self._bound(found, value)
            beyond = key < bound if descending else key > bound
            if found.keys:
                beyond = or_(beyond, key.is_(None))
            condition = or_(beyond, and_(key == bound, condition))
        return condition

    def _bound(self, found: ItemField, value: Json) -> Any:
        """Return a value of a row to compare with.

        Raises:
            SpecificationError: no row has it.
        """
        if found.keys:
            if self.dialect == "sqlite" and not _is_bound_by_sqlite(value):
                raise _not_of_the_search()
            return sort_value(value, self.dialect)
        if not isinstance(value, str):
            raise _not_of_the_search()
        return moment_of(value, "a time in the token") if found.kind == "time" else value

    def _values(self, row: Row[Any]) -> list[Json]:
        """Return the values by which a row is sorted."""
        values = row[: len(self.order.keys)]
        return [
            value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
            for value in values
        ]

    def _matching(self, beyond: Sequence[ColumnElement[bool]]) -> Iterator[Row[Any]]:
        """Yield the rows in order whose geometries intersect, as far as they are read."""
        conditions = self._conditions(not self._skips_collections())
        shaped = (ITEMS.shape, ITEMS.minx, ITEMS.miny, ITEMS.maxx, ITEMS.maxy)
        query: Select[Any] = (
            select(*self.order.columns, ITEMS.item, *(shaped if self.boxes else ()))
            .where(*conditions.parts, *beyond)
            .order_by(*self.order.order_by)
        )
        values = conditions.values
        if not self.boxes:
            limit = None if self.few is not None else self.query.limit + 1
            yield from self.connection.execute(query.limit(limit), values)
            return
        query = query.execution_options(yield_per=_AT_ONCE)
        with self.connection.execute(query, values) as rows:
            while some := rows.fetchmany(_AT_ONCE):
                yield from self._intersecting(some)

    def _intersecting(self, rows: Sequence[Row[Any]]) -> Iterator[Row[Any]]:
        """Yield the rows whose geometries intersect those that are searched for."""
        import shapely

        # rectangles have no shape but their sides, which the database has compared with the boxes
        tested = [n for n, row in enumerate(rows) if self.shapes or self._may_miss_box(row)]
        if not tested:
            yield from rows
            return
        wanted = list(self.shapes)
        if self.query.boxes:
            boxes = [shapely.box(*box) for box in self.query.boxes]
            wanted.append(boxes[0] if len(boxes) == 1 else shapely.union_all(boxes))
        kept = np.ones(len(rows), dtype=bool)
        geometries = shapely.from_wkb([rows[n].shape for n in tested])
        for place, n in enumerate(tested):
            row = rows[n]
            if row.shape is None:
                geometries[place] = shapely.box(row.minx, row.miny, row.maxx, row.maxy)
        for shape in wanted:
            shapely.prepare(shape)
            kept[tested] &= shapely.intersects(shape, geometries)
        yield from (row for row, keep in zip(rows, kept, strict=True) if keep)

    def _may_miss_box(self, row: Row[Any]) -> bool:
        """Return whether the geometry of a row may be beside all boxes that its sides meet."""
        return row.shape is not None and not any(
            west <= row.minx and row.maxx <= east and south <= row.miny and row.maxy <= north
            for west, south, east, north in self.query.boxes or ()
        )

    def _count(self) -> int | None:
        """Return how many Items there are, or None if they are too many to count, or to compare."""
        if self.boxes:
            return None
        some: Select[Any] = select(literal_column("1")).select_from(StacItem.__table__)
        conditions = self._conditions(by_collection=True)
        some = some.where(*conditions.parts).limit(MAX_MATCHED + 1)
        counted = select(func.count()).select_from(some.subquery())
        found = self.connection.scalar(counted, conditions.values) or 0
        return None if found > MAX_MATCHED else found


def _shape(place: JsonObject) -> shapely.Geometry:
    match place:
        case {"bbox": [float() | int() as west, *rest]} if len(rest) == 3:
            south, east, north = rest
            corners: list[Json] = [
                [west, south],
                [east, south],
                [east, north],
                [west, north],
                [west, south],
            ]
            return sent_geometry({"type": "Polygon", "coordinates": [corners]}, "the filter")
    return sent_geometry(place, "the filter")


def _is_bound_by_sqlite(value: Json) -> bool:
    """Return whether SQLite compares a value, which is what it reads from JSON, too."""
    if isinstance(value, int):
        return not isinstance(value, bool) and -(2**63) <= value < 2**63
    return isinstance(value, str | float)


def _not_of_the_search() -> SpecificationError:
    return SpecificationError(
        "the search does not continue after these values: follow the links of a page, or search"
        " anew without a token"
    )
