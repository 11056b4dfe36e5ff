"""Conditions on the place, time, words and ids of Items, as SQL with parameters.

They are composed once, as to compose them takes longer than to run them. What `filters` and orders
state is not here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from sqlalchemy import (
    ColumnElement,
    Connection,
    Float,
    String,
    Text,
    and_,
    bindparam,
    func,
    literal_column,
    or_,
    select,
)

from mlops_assets.registry.records.filters import ITEMS
from mlops_assets.registry.records.rows import words_of
from mlops_assets.registry.schema import UtcDateTime

Interval = tuple[datetime | None, datetime | None]
Sides = tuple[float, float, float, float]  # west, south, east, north

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DEGREES = Float(53)
_IDS = ITEMS.id.in_(bindparam("ids", expanding=True))
_BEFORE = ITEMS.starts <= bindparam("end", type_=UtcDateTime())
_AFTER = ITEMS.ends >= bindparam("start", type_=UtcDateTime())
_LISTED = func.json_each(bindparam("few", type_=Text)).table_valued("value")
FEW = ITEMS.item.in_(select(_LISTED.c.value))
_COLLECTIONS = ITEMS.collection.in_(bindparam("collections", expanding=True))
# the sign keeps SQLite from taking an index
_COLLECTIONS_WITHOUT_INDEX = literal_column("+stac_items.collection", String).in_(
    bindparam("collections", expanding=True)
)


@dataclass
class Conditions:
    """Conditions on Items, and values of their parameters."""

    parts: list[ColumnElement[bool]] = field(default_factory=list)
    values: dict[str, object] = field(default_factory=dict)

    def in_collections(self, names: Sequence[str], by_index: bool) -> None:
        """Add that Items are in one of some Collections."""
        self.parts.append(_COLLECTIONS if by_index else _COLLECTIONS_WITHOUT_INDEX)
        self.values["collections"] = names

    def with_ids(self, ids: Sequence[str]) -> None:
        """Add that Items have one of some ids."""
        self.parts.append(_IDS)
        self.values["ids"] = ids

    def within(self, interval: Interval) -> None:
        """Add that the time of Items intersects an interval."""
        for name, moment, condition in zip(
            ("start", "end"), interval, (_AFTER, _BEFORE), strict=True
        ):
            if moment is not None:
                self.parts.append(condition)
                self.values[name] = moment

    def with_words(self, words: Sequence[str]) -> None:
        """Add that Items have one of some words or phrases."""
        found = (ITEMS.words.contains(words_of([word]), autoescape=True) for word in words)
        self.parts.append(or_(*found))

    def in_boxes(self, boxes: Sequence[Sides], dialect: str) -> None:
        """Add that the bounding box of Items intersects one of some boxes."""
        found = []
        for west, south, east, north in boxes:
            number = len(self.values)
            sides = {"west": west, "south": south, "east": east, "north": north}
            self.values |= {f"{side}_{number}": value for side, value in sides.items()}
            found.append(_in_box(number, dialect))
        self.parts.append(or_(*found) if len(found) > 1 else found[0])


@lru_cache
def _in_box(number: int, dialect: str) -> ColumnElement[bool]:
    west, south, east, north = (
        bindparam(f"{side}_{number}", type_=_DEGREES) for side in ("west", "south", "east", "north")
    )
    if dialect == "postgresql":
        stored = func.box(func.point(ITEMS.minx, ITEMS.miny), func.point(ITEMS.maxx, ITEMS.maxy))
        searched = func.box(func.point(west, south), func.point(east, north))
        return stored.bool_op("&&")(searched)
    return and_(ITEMS.minx <= east, ITEMS.maxx >= west, ITEMS.miny <= north, ITEMS.maxy >= south)


def items_in_extent(
    connection: Connection, places: Sequence[Sequence[Sides]], interval: Interval, limit: int
) -> str | None:
    """Return Items whose bounding boxes and times intersect, by the R*Tree of SQLite.

    It has single precision, and so may find some that are just beside.

    Args:
        connection: to the database.
        places: lists of boxes, of each of which Items intersect one.
        interval: of time.
        limit: Items at most.

    Returns:
        Their numbers as JSON; None if they are more.
    """
    values: list[float] = []
    conditions = [*_extent_conditions(places, interval, values)]
    # conditions are those below, whose values are parameters
    statement = (
        "SELECT count(*), json_group_array(item) FROM (SELECT item FROM stac_items_extent"  # nosec B608
        f" WHERE {' AND '.join(conditions)} LIMIT {limit + 1:d})"
    )
    found = connection.exec_driver_sql(statement, tuple(values))
    count, items = found.one()
    return None if count > limit else str(items)


def _extent_conditions(
    places: Sequence[Sequence[Sides]], interval: Interval, values: list[float]
) -> Iterator[str]:
    """Yield conditions, and append the values of their parameters."""
    box = "minx <= ? AND maxx >= ? AND miny <= ? AND maxy >= ?"
    for boxes in places:
        for west, south, east, north in boxes:
            values += [east, west, north, south]
        yield f"({' OR '.join([box] * len(boxes))})"
    for moment, condition in zip(interval, ("last >= ?", "first <= ?"), strict=True):
        if moment is not None:
            values.append((moment - _EPOCH).total_seconds() / 86_400)
            yield condition
