"""Search of Items and Collections: a page at a time, in an order that each row has a place in.

A page begins after the values by which the last row of the page before was sorted, so that none is
read twice or left out, and late pages take no longer than early ones. Only what a principal may see
is searched.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic_core import from_json
from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    String,
    Text,
    and_,
    column,
    false,
    func,
    literal_column,
    or_,
    select,
    table,
    text,
    true,
    type_coerce,
)
from sqlalchemy.orm import Session

from mlops_assets.errors import SpecificationError
from mlops_assets.principals import Principal
from mlops_assets.registry.records.filters import ItemField, ItemTranslation, item_field, sort_value
from mlops_assets.registry.records.lookup import FoundRecord, Page, sees, without_hidden
from mlops_assets.registry.records.rows import geometry_of, moment_of, words_of
from mlops_assets.registry.schema import StacItem
from mlops_assets.registry.session import RegistrySession
from mlops_assets.text.json_values import Json, JsonObject

if TYPE_CHECKING:
    import shapely

Interval = tuple[datetime | None, datetime | None]
Sides = tuple[float, float, float, float]  # west, south, east, north

MAX_MATCHED = 10_000  # Items that are counted; of more, the number is not given
# Items that are looked up and then sorted; if they may be more, all are read in order
_FEW = 4_000
_AT_ONCE = 500
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


_EXTENT = table("stac_items_extent", column("item"))


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


@dataclass
class _Search:
    """One search in one transaction.

    Attributes:
        keys: what Items are sorted by, with what makes the order complete.
    """

    session: Session
    query: ItemQuery
    principal: Principal
    keys: list[tuple[ItemField, bool]] = field(init=False)

    def __post_init__(self) -> None:
        self.dialect = self.session.get_bind().dialect.name
        wanted = self.query.order or DEFAULT_ORDER
        descending = wanted[-1].descending
        names = {item_field(key.name).name: key.descending for key in wanted}
        # ids are unique within a Collection
        names |= {name: descending for name in ("id", "collection") if name not in names}
        self.keys = [(ItemField(name), down) for name, down in names.items()]
        translation = ItemTranslation(item_field, self.dialect)
        where = self.query.where
        condition = true() if where is None else translation.read(where)
        self.shapes = [_shape(place) for place in translation.places]
        if self.query.geometry is not None:
            self.shapes.append(geometry_of(self.query.geometry, "the search"))
        self.boxes = [list(self.query.boxes)] if self.query.boxes else []
        self.boxes += [[shape.bounds] for shape in self.shapes]
        self.few = self._few()
        self.conditions = [sees(self.principal, StacItem), condition, *self._conditions()]

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
        after = self._values(rows[-1]) if more else None
        return Page(self._records([row.item for row in rows]), after, matched)

    def _conditions(self) -> Iterator[ColumnElement[bool]]:
        query = self.query
        if self.few is not None:
            listed = func.json_each(json.dumps(self.few)).table_valued("value")
            yield StacItem.item.in_(select(listed.c.value))
        if query.collections is not None:
            of_collection: ColumnElement[str] = StacItem.collection.expression
            if self._skips_collections():
                of_collection = literal_column("+stac_items.collection", String)
            yield of_collection.in_(query.collections)
        if query.ids is not None:
            yield StacItem.id.in_(query.ids)
        if query.interval is not None:
            start, end = query.interval
            if end is not None:
                yield StacItem.starts <= end
            if start is not None:
                yield StacItem.ends >= start
        if query.words:
            yield or_(
                *(StacItem.words.contains(words_of([w]), autoescape=True) for w in query.words)
            )
        for boxes in self.boxes:
            yield or_(*(self._in_box(box) for box in boxes))

    def _in_box(self, box: Sides) -> ColumnElement[bool]:
        west, south, east, north = box
        if self.dialect == "postgresql":
            stored = func.box(
                func.point(StacItem.minx, StacItem.miny), func.point(StacItem.maxx, StacItem.maxy)
            )
            searched = func.box(func.point(west, south), func.point(east, north))
            return stored.bool_op("&&")(searched)
        return and_(
            StacItem.minx <= east,
            StacItem.maxx >= west,
            StacItem.miny <= north,
            StacItem.maxy >= south,
        )

    def _few(self) -> list[int] | None:
        """Return those Items that are in place and time, if they are few.

        SQLite does not know how many Items an R*Tree returns, and would read all in order instead.
        """
        if self.dialect != "sqlite" or not (self.boxes or self.query.interval):
            return None
        # as text, since to compose so many comparisons takes longer than to run them
        places = []
        values: dict[str, float] = {}
        for boxes in self.boxes:
            parts = []
            for west, south, east, north in boxes:
                own = len(values)
                values |= {
                    f"v{own}": east,
                    f"v{own + 1}": west,
                    f"v{own + 2}": north,
                    f"v{own + 3}": south,
                }
                parts.append(
                    f"minx <= :v{own} AND maxx >= :v{own + 1}"
                    f" AND miny <= :v{own + 2} AND maxy >= :v{own + 3}"
                )
            places.append(f"({' OR '.join(parts)})")
        start, end = self.query.interval or (None, None)
        for name, moment, comparison in (
            ("end", end, "first <= :end"),
            ("start", start, "last >= :start"),
        ):
            if moment is not None:
                places.append(comparison)
                values[name] = _days(moment)
        query = select(_EXTENT.c.item).where(*map(text, places)).limit(_FEW + 1)
        found = self.session.scalars(query, values).all()
        return None if len(found) > _FEW else list(found)

    def _skips_collections(self) -> bool:
        """Return whether an index on Collections would only delay a search.

        SQLite takes it wherever there is one, also to read a whole Collection and to sort it then.
        """
        if self.dialect != "sqlite" or self.query.ids is not None:
            return False
        if self.few is not None:
            return True
        own = select(StacItem.item).where(StacItem.collection.in_(self.query.collections or []))
        counted = select(func.count()).select_from(own.limit(_FEW + 1).subquery())
        return (self.session.scalar(counted) or 0) > _FEW

    def _order(self) -> list[ColumnElement[Any]]:
        order: list[ColumnElement[Any]] = []
        for found, descending in self.keys:
            key = found.ordered(self.dialect)
            key = key.desc() if descending else key.asc()
            # columns are never NULL, and without NULLS LAST an index is read in either direction
            order.append(key.nulls_last() if found.keys else key)
        return order

    def _beyond(self, after: Sequence[Json]) -> ColumnElement[bool]:
        """Return the condition of the rows after one, given by its values."""
        condition: ColumnElement[bool] = false()
        if len(after) != len(self.keys):
            raise _not_of_the_search()
        for (found, descending), value in reversed(list(zip(self.keys, after, strict=True))):
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
        values = row[: len(self.keys)]
        return [
            value.astimezone(UTC).isoformat() if isinstance(value, datetime) else value
            for value in values
        ]

    def _selected(self, beyond: Sequence[ColumnElement[bool]]) -> Select[Any]:
        keys = [
            found.ordered(self.dialect).label(f"key_{number}")
            for number, (found, _) in enumerate(self.keys)
        ]
        shaped = (StacItem.shape, StacItem.minx, StacItem.miny, StacItem.maxx, StacItem.maxy)
        located = shaped if self.boxes else ()
        return (
            select(*keys, StacItem.item, *located)
            .where(*self.conditions, *beyond)
            .order_by(*self._order())
        )

    def _matching(self, beyond: Sequence[ColumnElement[bool]]) -> Iterator[Row[Any]]:
        """Yield the rows in order whose geometries intersect, as far as they are read."""
        query = self._selected(beyond)
        if not self.boxes:
            limit = None if self.few is not None else self.query.limit + 1
            yield from self.session.execute(query.limit(limit))
            return
        with self.session.execute(query.execution_options(yield_per=_AT_ONCE)) as rows:
            while some := rows.fetchmany(_AT_ONCE):
                yield from self._intersecting(some)

    def _intersecting(self, rows: Sequence[Row[Any]]) -> Iterator[Row[Any]]:
        """Yield the rows whose geometries intersect those that are searched for."""
        import shapely

        kept = np.ones(len(rows), dtype=bool)
        # a rectangle intersects a box if their sides do, which the database has compared
        shaped = np.array([row.shape is not None for row in rows])
        wanted = [
            *(
                [shapely.union_all([shapely.box(*b) for b in self.query.boxes])]
                if self.query.boxes
                else []
            ),
            *self.shapes,
        ]
        tested = shaped if not self.shapes else kept.copy()
        if tested.any():
            chosen = [row for row, test in zip(rows, tested, strict=True) if test]
            geometries = np.array(
                [
                    shapely.box(row.minx, row.miny, row.maxx, row.maxy)
                    if row.shape is None
                    else shapely.from_wkb(row.shape)
                    for row in chosen
                ]
            )
            hit = np.ones(len(chosen), dtype=bool)
            for shape in wanted:
                shapely.prepare(shape)
                hit &= shapely.intersects(shape, geometries)
            kept[tested] = hit
        yield from (row for row, keep in zip(rows, kept, strict=True) if keep)

    def _count(self) -> int | None:
        """Return how many Items there are, or None if they are too many to count, or to compare."""
        if self.boxes:
            return None
        some: Select[Any] = select(literal_column("1")).select_from(StacItem)
        some = some.where(*self.conditions).limit(MAX_MATCHED + 1)
        found = self.session.scalar(select(func.count()).select_from(some.subquery())) or 0
        return None if found > MAX_MATCHED else found

    def _records(self, items: Sequence[int]) -> list[FoundRecord]:
        """Return Items; documents are read for a page only, as they are large."""
        documents: list[ColumnElement[Any]] = [
            StacItem.properties.expression,
            StacItem.document.expression,
        ]
        if self.dialect == "sqlite":  # which keeps JSON as text, that is parsed faster so
            documents = [type_coerce(each, Text) for each in documents]
        rows = self.session.execute(
            select(StacItem.item, StacItem.key, *documents).where(StacItem.item.in_(items))
        )
        found = {
            item: FoundRecord({**_read(document), "properties": _read(properties)}, key)
            for item, key, properties, document in rows
        }
        return without_hidden(self.session, self.principal, [found[item] for item in items])


def _read(document: str | JsonObject) -> JsonObject:
    if isinstance(document, str):
        parsed: JsonObject = from_json(document)
        return parsed
    return document


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
            return geometry_of({"type": "Polygon", "coordinates": [corners]}, "the filter")
    return geometry_of(place, "the filter")


def _days(moment: datetime) -> float:
    return (moment - _EPOCH).total_seconds() / 86_400


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
