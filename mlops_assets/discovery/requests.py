"""Requests of the STAC API as searches: parameters of GET and of POST alike, checked once."""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC

from stac_fastapi.types.rfc3339 import str_to_interval

from mlops_assets.errors import SpecificationError
from mlops_assets.registry.records.conditions import Interval, Sides
from mlops_assets.registry.records.filters import item_field
from mlops_assets.registry.records.search import DEFAULT_ORDER, ItemQuery, SortKey
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.strict_json import parse_json

CRS84 = "http://www.opengis.net/def/crs/OGC/1.3/CRS84"
MAX_LIMIT = 10_000
MAX_LISTED = 1_000  # ids or Collections of one search
MAX_ID_BYTES = 255
MAX_SORT_KEYS = 5
MAX_WORDS = 100
_ALWAYS = ("type", "id", "collection", "links")  # fields of an Item that is found
OF_COLLECTIONS = frozenset({"limit", "token"})
OF_ITEMS = OF_COLLECTIONS | {
    "bbox",
    "datetime",
    "fields",
    "filter",
    "filter-crs",
    "filter-lang",
    "q",
    "sortby",
}
OF_SEARCH = OF_ITEMS | {"collections", "ids", "intersects"}


@dataclass(frozen=True)
class SearchParameters:
    """The parameters of a search, as GET and POST have them.

    Attributes:
        collections: ids of Collections.
        ids: ids of Items.
        bbox: four or six numbers.
        intersects: GeoJSON geometry, or its text.
        datetime: a time, or two of an interval.
        limit: Items at most.
        where: a filter.
        language: of the filter.
        crs: of geometries in the filter.
        words: of free text.
        order: names with `+` or `-` before them.
        token: of a page.
    """

    collections: Sequence[str] | None = None
    ids: Sequence[str] | None = None
    bbox: Sequence[float] | None = None
    intersects: str | JsonObject | None = None
    datetime: str | None = None
    limit: int | None = None
    where: str | JsonObject | None = None
    language: str | None = None
    crs: str | None = None
    words: Sequence[str] | None = None
    order: Sequence[str] | None = None
    token: str | None = None

    def query(self) -> ItemQuery:
        """Return the search.

        Raises:
            SpecificationError: a parameter cannot be used.
        """
        if self.bbox is not None and self.intersects is not None:
            raise SpecificationError("bbox and intersects exclude each other; send one of them")
        if self.crs not in (None, CRS84):
            raise SpecificationError(f"filter-crs can be {CRS84} only")
        found = ItemQuery(
            collections=_listed("collections", self.collections),
            ids=_listed("ids", self.ids),
            boxes=None if self.bbox is None else boxes_of(self.bbox),
            geometry=_geometry(self.intersects),
            interval=_interval(self.datetime),
            where=_filter(self.where, self.language),
            words=_words(self.words),
            order=_order(self.order),
            limit=min(self.limit or 10, MAX_LIMIT),
        )
        if self.token is None:
            return found
        return replace(found, after=_after(self.token, found))


def require_known(names: Iterable[str], known: Collection[str]) -> None:
    """Check that parameters are known, as what is ignored would be believed to have been searched.

    Raises:
        SpecificationError: one is not.
    """
    if unknown := sorted(set(names) - set(known)):
        raise SpecificationError(
            f"{', '.join(unknown)[:200]} cannot be a parameter here; known are"
            f" {', '.join(sorted(known))}; conditions on properties are a filter in CQL2"
        )


def token_of(query: ItemQuery, after: Sequence[Json]) -> str:
    """Return the token of the page that begins after these values."""
    content = json.dumps([_digest(query), *after], separators=(",", ":"))
    return base64.urlsafe_b64encode(content.encode()).decode().rstrip("=")


def boxes_of(bbox: Sequence[float]) -> list[Sides]:
    """Return the rectangles of a bounding box: two if it crosses the antimeridian.

    Args:
        bbox: west, south, east, north in degrees, or six numbers with heights.

    Raises:
        SpecificationError: it is not one.
    """
    if (
        len(bbox) not in (4, 6)
        or not all(map(math.isfinite, bbox))
        or (len(bbox) == 6 and bbox[2] > bbox[5])
    ):
        raise SpecificationError(
            "bbox has four or six finite numbers: west, south, east, north, with the lower height"
            " first"
        )
    west, south, east, north = bbox if len(bbox) == 4 else (*bbox[:2], *bbox[3:5])
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise SpecificationError(
            "bbox has longitudes from -180 to 180, and latitudes from -90 to 90 with the southern"
            " one first"
        )
    if west > east:
        return [(west, south, 180.0, north), (-180.0, south, east, north)]
    return [(west, south, east, north)]


def _listed(name: str, values: Sequence[str] | None) -> Sequence[str] | None:
    if not values:
        return None
    if len(values) > MAX_LISTED:
        raise SpecificationError(f"{name} can have {MAX_LISTED} entries; send several requests")
    for value in values:
        if not value.isprintable() or len(value.encode()) > MAX_ID_BYTES:
            raise SpecificationError(
                f"{name} has {value[:40]!r}, which cannot be an id: ids have up to"
                f" {MAX_ID_BYTES} bytes of printable characters"
            )
    return values


def _words(words: Sequence[str] | None) -> Sequence[str]:
    found = [word for word in words or [] if word.strip()]
    if len(found) > MAX_WORDS:
        raise SpecificationError(f"q can have {MAX_WORDS} words or phrases; send several requests")
    return found


def _geometry(given: str | JsonObject | None) -> JsonObject | None:
    if not isinstance(given, str):
        return given
    try:
        found = json.loads(given)
    except (ValueError, RecursionError) as error:
        raise SpecificationError(f"intersects is not valid JSON: {error}") from error
    if not isinstance(found, dict):
        raise SpecificationError("intersects is a GeoJSON geometry, which is a JSON object")
    return found


def _interval(text: str | None) -> Interval | None:
    found = str_to_interval(text)
    if found is None:
        return None
    ends = found if isinstance(found, tuple) else (found, found)
    try:
        start, end = (None if moment is None else moment.astimezone(UTC) for moment in ends)
    except OverflowError:
        raise SpecificationError(
            "datetime leaves the years 1 to 9999 of UTC; leave an end open by '..'"
        ) from None
    return start, end


def _filter(where: str | JsonObject | None, language: str | None) -> str | JsonObject | None:
    """Return a filter as it was sent: text, or JSON, also as the text of JSON."""
    if where is None or where in ("", {}):
        return None
    if language == "cql2-text" and not isinstance(where, str):
        raise SpecificationError("the filter is JSON: send it with filter-lang cql2-json")
    if language != "cql2-json" or isinstance(where, dict):
        return where
    try:
        found = json.loads(where)
    except (ValueError, RecursionError) as error:
        raise SpecificationError(
            f"the filter is not valid JSON: {error}; send CQL2 text with filter-lang cql2-text"
        ) from error
    if not isinstance(found, dict):
        raise SpecificationError("a filter in CQL2 JSON is an object with op and args")
    return found


def _order(names: Sequence[str] | None) -> Sequence[SortKey]:
    if not names:
        return DEFAULT_ORDER
    if len(names) > MAX_SORT_KEYS:
        raise SpecificationError(f"sortby can have {MAX_SORT_KEYS} fields")
    # a plus in a URL is a space, unless it was encoded
    return [
        SortKey(item_field(name.strip().lstrip("+-").strip()).name, name.startswith("-"))
        for name in names
    ]


def _digest(query: ItemQuery) -> str:
    """Return what the tokens of a search begin with, so that they fit no other one."""
    parts = replace(query, limit=0, after=None)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _after(token: str, query: ItemQuery) -> list[Json]:
    try:
        padded = token + "=" * (-len(token) % 4)
        content = parse_json(base64.b64decode(padded, altchars=b"-_", validate=True))
    except ValueError:
        content = None
    if not isinstance(content, list) or content[:1] != [_digest(query)]:
        raise SpecificationError(
            "the token is not one of this search: follow the links of a page, or search anew"
            " without a token"
        )
    return content[1:]


def chosen_fields(document: JsonObject, include: set[str], exclude: set[str]) -> JsonObject:
    """Return a document with some of its fields.

    Args:
        document: an Item.
        include: paths of fields, such as `properties.datetime`; all if empty.
        exclude: paths of fields that are left out, unless they or parts of them are included.

    Returns:
        A document that has `id`, `collection`, `type` and `links` in any case.
    """
    found = _included(document, include) if include else document
    for path in exclude.difference(_ALWAYS):
        if not any(f"{name}.".startswith(f"{path}.") for name in include):
            found = _without(found, path.split("."))
    return found


def _included(document: JsonObject, paths: set[str]) -> JsonObject:
    found = {name: document[name] for name in _ALWAYS}
    for path in sorted(paths):
        _copy(document, found, path.split("."))
    return found


def _copy(source: Mapping[str, Json], target: JsonObject, path: list[str]) -> None:
    for length in range(len(path), 0, -1):  # a dot may be part of a name
        name, rest = ".".join(path[:length]), path[length:]
        if name not in source:
            continue
        inner = source[name]
        if not rest:
            target[name] = inner
        elif isinstance(inner, dict):
            within = target.setdefault(name, {})
            if isinstance(within, dict) and within is not inner:
                _copy(inner, within, rest)
        return


def _without(document: JsonObject, path: list[str]) -> JsonObject:
    for length in range(len(path), 0, -1):
        name, rest = ".".join(path[:length]), path[length:]
        if name not in document:
            continue
        inner = document[name]
        others = {key: value for key, value in document.items() if key != name}
        if not rest:
            return others
        return {**document, name: _without(inner, rest)} if isinstance(inner, dict) else document
    return document
