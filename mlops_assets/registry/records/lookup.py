"""Records by their ids, and what of them a principal may see.

Items are searched in `search`.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

from pydantic_core import from_json
from sqlalchemy import ColumnElement, Text, cast, func, or_, select, type_coerce, union_all
from sqlalchemy.orm import Session

from mlops_assets.errors import NotFound
from mlops_assets.principals import Principal
from mlops_assets.registry.schema import StacCollection, StacItem
from mlops_assets.registry.session import RegistrySession
from mlops_assets.registry.visibility import sees_all, visible_to
from mlops_assets.text.json_values import Json, JsonObject

_DESCRIBED = 500  # Items, whose properties stand for those of their Collection
_KEPT = 256  # principals
# bytes of the records of a page, which ends with the one that exceeds it
MAX_PAGE = 32 << 20
_AT_ONCE = 100  # records that are read before their size is known
_ABSOLUTE = re.compile(r"[a-z][a-z0-9+.-]*:", re.IGNORECASE)


@dataclass(frozen=True)
class FoundRecord:
    """A Collection or Item that was found.

    Attributes:
        document: as published or sent.
        key: of the published document; None for an external record.
    """

    document: JsonObject
    key: str | None


@dataclass(frozen=True)
class Page:
    """A page of Items or Collections.

    Attributes:
        records: in their order.
        after: values of the last one, with which the next page begins; None if there is none.
        matched: how many there are in all; None if that is unknown.
    """

    records: list[FoundRecord]
    after: list[Json] | None = None
    matched: int | None = None


@lru_cache(_KEPT)
def sees(
    principal: Principal, records: type[StacItem] | type[StacCollection]
) -> ColumnElement[bool]:
    """Return the condition that a principal may see a record, which is never NULL.

    A Collection is visible with any of its Items, too.

    Args:
        principal: without roles it is anyone, who sees what is published.
        records: the table.
    """
    own = records.__table__.c
    seen = visible_to(principal, own.visibility, own.created_by)
    if records is StacItem or sees_all(principal):
        return seen
    items = StacItem.__table__.c
    own_items = select(items.item).where(items.collection == own.id, sees(principal, StacItem))
    return or_(seen, own_items.exists())


def read_items(
    session: Session, items: Sequence[int], principal: Principal
) -> tuple[list[FoundRecord], int]:
    """Return Items by the numbers of their rows, in this order, as far as they fit into a page.

    Args:
        session: of the transaction.
        items: their numbers.
        principal: does not see links to records that are hidden from them.

    Returns:
        The Items, and how many of the numbers have been read; at least one.
    """
    records: list[FoundRecord] = []
    read = size = 0
    while read < len(items) and size < MAX_PAGE:
        some = items[read : read + _AT_ONCE]
        found = _texts_of(session, some)
        for item in some:
            read += 1
            # PostgreSQL sees what others have removed since
            if item not in found:
                continue
            key, properties, document = found[item]
            records.append(
                FoundRecord({**from_json(document), "properties": from_json(properties)}, key)
            )
            size += len(properties) + len(document)
            if size >= MAX_PAGE:
                break
    return without_hidden(session, principal, records), read


def _texts_of(session: Session, items: Sequence[int]) -> dict[int, tuple[str | None, str, str]]:
    """Return number → key, properties and document of Items."""
    columns = StacItem.__table__.c
    rows = session.connection().execute(
        select(
            columns.item,
            columns.key,
            _as_text(session, columns.properties),
            _as_text(session, columns.document),
        ).where(columns.item.in_(items))
    )
    return {item: (key, properties, document) for item, key, properties, document in rows}


def without_hidden(
    session: Session, principal: Principal, records: Sequence[FoundRecord]
) -> list[FoundRecord]:
    """Return records without links to records that a principal may not see."""
    if sees_all(principal):
        return list(records)
    targets = {target for record in records for _, target in _links(record)} - {None}
    if not targets:
        return list(records)
    hidden = set(
        session.connection().scalars(
            union_all(
                *(
                    select(kind.__table__.c.key).where(
                        kind.__table__.c.key.in_(targets), ~sees(principal, kind)
                    )
                    for kind in (StacItem, StacCollection)
                )
            )
        )
    )
    if not hidden:
        return list(records)
    return [
        replace(
            record,
            document={
                **record.document,
                "links": [link for link, target in _links(record) if target not in hidden],
            },
        )
        for record in records
    ]


def _links(record: FoundRecord) -> list[tuple[Json, str | None]]:
    """Return the links of a record, each with the key that it leads to."""
    links = record.document.get("links")
    return [
        (link, target_of(record.key, str(link.get("href"))) if isinstance(link, dict) else None)
        for link in (links if isinstance(links, list) else [])
    ]


def target_of(key: str | None, href: str) -> str | None:
    """Return the key that a link of a published document leads to; None if it is a URL.

    Args:
        key: of the document; None for an external record.
        href: of the link.
    """
    if key is None or _ABSOLUTE.match(href) or href.startswith("/"):
        return None
    return posixpath.normpath(posixpath.join(posixpath.dirname(key), href))


def find_item(
    registry: RegistrySession, collection: str, name: str, principal: Principal
) -> FoundRecord:
    """Return one Item.

    Raises:
        NotFound: there is none that the principal may see.
    """
    columns = StacItem.__table__.c
    query = select(columns.item).where(
        columns.collection == _bound(collection),
        columns.id == _bound(name),
        sees(principal, StacItem),
    )
    with registry.reading() as session:
        items = session.connection().scalars(query).all()
        found, _ = read_items(session, items, principal)
    if found:
        return found[0]
    raise NotFound(f"Item {name!r} is not in Collection {collection!r}")


def find_collection(registry: RegistrySession, name: str, principal: Principal) -> FoundRecord:
    """Return one Collection.

    Raises:
        NotFound: there is none that the principal may see.
    """
    query = select(StacCollection).where(
        StacCollection.id == _bound(name), sees(principal, StacCollection)
    )
    with registry.reading() as session:
        row = session.scalar(query)
        if row is None:
            raise NotFound(f"there is no Collection {name!r}")
        found = FoundRecord(row.document, row.key)
        return without_hidden(session, principal, [found])[0]


def find_published(
    registry: RegistrySession, collection: str, item: str | None, reader: Principal
) -> FoundRecord | None:
    """Return a published Collection or Item, as it is for a reader who sees it.

    Args:
        registry: has it.
        collection: id of the Collection.
        item: id of the Item; None for the Collection itself.
        reader: sees no links to records that are hidden from them.

    Returns:
        The record; None if there is none, or if a caller of the API has sent it.
    """
    own = select(StacCollection).where(
        StacCollection.id == collection, StacCollection.key.is_not(None)
    )
    with registry.reading() as session:
        if item is not None:
            found = _published_items(session, collection, reader, StacItem.id == item)
        else:
            rows = session.scalars(own)
            found = [FoundRecord(row.document, row.key) for row in rows]
            found = without_hidden(session, reader, found)
    return found[0] if found else None


def find_published_items(
    registry: RegistrySession, collection: str, reader: Principal
) -> Iterator[FoundRecord]:
    """Yield the published Items of a Collection by their ids, some at a time.

    Args:
        registry: has them.
        collection: id of the Collection.
        reader: sees them, and no links to records that are hidden from them.
    """
    after = ""
    while True:
        with registry.reading() as session:
            page = _published_items(session, collection, reader, StacItem.id > after)
        yield from page
        if len(page) < _AT_ONCE:
            return
        after = str(page[-1].document["id"])


def _published_items(
    session: Session, collection: str, reader: Principal, condition: ColumnElement[bool]
) -> list[FoundRecord]:
    """Return the first published Items of a Collection that meet a condition, by their ids."""
    query = (
        select(StacItem)
        .where(StacItem.collection == collection, StacItem.key.is_not(None), condition)
        .order_by(StacItem.id)
        .limit(_AT_ONCE)
    )
    found = [
        FoundRecord({**row.document, "properties": row.properties}, row.key)
        for row in session.scalars(query)
    ]
    return without_hidden(session, reader, found)


def list_collections(
    registry: RegistrySession, principal: Principal, limit: int, after: str | None = None
) -> Page:
    """Return a page of the Collections, by their ids, as far as they fit into it."""
    seen = sees(principal, StacCollection)
    found: list[FoundRecord] = []
    size = 0
    more = False
    with registry.reading() as session:
        matched = session.scalar(select(func.count()).select_from(StacCollection).where(seen))
        # one more than the page has shows whether there is a next one
        rows = _collections(session, principal, min(limit + 1, _AT_ONCE), after)
        for key, text in rows:
            if len(found) == limit or size >= MAX_PAGE:
                more = True
                break
            found.append(FoundRecord(from_json(text), key))
            size += len(text)
        found = without_hidden(session, principal, found)
    return Page(found, [str(found[-1].document["id"])] if more else None, matched)


def _collections(
    session: Session, principal: Principal, at_once: int, after: str | None
) -> Iterator[tuple[str | None, str]]:
    """Yield key and document of the Collections after an id, by their ids."""
    columns = StacCollection.__table__.c
    query = (
        select(columns.id, columns.key, _as_text(session, columns.document))
        .where(sees(principal, StacCollection))
        .order_by(columns.id)
        .limit(at_once)
    )
    last = None if after is None else _bound(after)
    while (
        rows := session.connection()
        .execute(query if last is None else query.where(columns.id > last))
        .all()
    ):
        yield from ((key, text) for _, key, text in rows)
        last = rows[-1].id


def _as_text(session: Session, column: ColumnElement[Any]) -> ColumnElement[str]:
    """Return JSON as text, which is parsed faster here than by drivers; SQLite has nothing else."""
    if session.connection().dialect.name == "postgresql":
        return cast(column, Text)
    return type_coerce(column, Text)


def property_names(
    registry: RegistrySession, collection: str, principal: Principal
) -> dict[str, Json]:
    """Return the properties of a Collection's newest Items, each with a value.

    Args:
        registry: has the Items.
        collection: their Collection.
        principal: sees the Items.
    """
    newest = (
        select(StacItem.properties)
        .where(StacItem.collection == collection, sees(principal, StacItem))
        .order_by(StacItem.moment.desc())
        .limit(_DESCRIBED)
    )
    found: dict[str, Json] = {}
    with registry.reading() as session:
        for properties in session.scalars(newest):
            found |= {name: value for name, value in properties.items() if value is not None}
    return found


def _bound(name: str) -> str:
    """Return a name as PostgreSQL takes it; no id has NUL characters or newlines."""
    return name.replace("\0", "\n")
