"""Rows of Collections and Items, made of their documents and written within a transaction.

A document replaces the row of its predecessor. Nothing is read from the workspace here.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

from sqlalchemy import delete, insert, select, update
from sqlalchemy.orm import Session

from mlops_assets.errors import Conflict, SpecificationError
from mlops_assets.paths import Owner, catalog_folder, maps_owner, owner_of, record_owner
from mlops_assets.principals import Visibility
from mlops_assets.registry.records.geometry import geometry_of, is_rectangle, sent_geometry
from mlops_assets.registry.schema import (
    DataVersion,
    File,
    ModelVersion,
    Run,
    StacCollection,
    StacItem,
)
from mlops_assets.storage import FileStat, sha256_of
from mlops_assets.text.json_values import JsonObject

log = logging.getLogger(__name__)

# properties whose texts free text finds, besides the id
DESCRIBED = (
    "title",
    "description",
    "keywords",
    "mlm:name",
    "mlm:architecture",
    "mlm:framework",
    "mlm:tasks",
    "platform",
    "constellation",
    "instruments",
)
_AT_ONCE = 500
_WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class RecordRow:
    """A Collection or an Item to be written.

    Attributes:
        document: as it is to be found.
        key: of the published document; None for an external record.
        sha256: of the published document.
    """

    document: JsonObject
    key: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class PublishedRecords:
    """Records whose documents are in the workspace.

    Attributes:
        files: owner → its files.
        rows: the Collections and Items among them.
    """

    files: Mapping[Owner, Sequence[FileStat]]
    rows: Sequence[RecordRow]


def published_rows(contents: Mapping[str, bytes]) -> list[RecordRow]:
    """Return the rows of published documents, of those that are Collections or Items.

    Args:
        contents: key → content.
    """
    found = []
    for key, content in contents.items():
        document = json.loads(content)
        if document.get("type") in ("Collection", "Feature"):
            found.append(RecordRow(document, key, sha256_of(content)))
    return found


def write_records(session: Session, records: Iterable[RecordRow]) -> None:
    """Write records, each in place of one with its key, or else with its id.

    Raises:
        Conflict: another record has the id of a Collection.
        SpecificationError: a document has no usable geometry or time.
    """
    remaining = iter(records)
    while some := list(islice(remaining, _AT_ONCE)):
        collections = [row for row in some if row.document["type"] == "Collection"]
        items = [row for row in some if row.document["type"] != "Collection"]
        if collections:
            _write_collections(session, collections)
        if items:
            _write_items(session, items)


def remove_records(session: Session, collection: str, ids: Sequence[str]) -> None:
    """Remove Items of a Collection."""
    session.execute(
        delete(StacItem).where(StacItem.collection == collection, StacItem.id.in_(ids)),
        execution_options={"synchronize_session": False},
    )


def remove_published(session: Session, keys: Sequence[str]) -> None:
    """Remove the records whose documents are published no more.

    Args:
        session: of the transaction.
        keys: of the documents.
    """
    for table in (StacItem, StacCollection):
        session.execute(
            delete(table).where(table.key.in_(keys)),
            execution_options={"synchronize_session": False},
        )


def remove_collection(session: Session, collection: str) -> None:
    """Remove a Collection with its Items."""
    for table, column in ((StacItem, StacItem.collection), (StacCollection, StacCollection.id)):
        session.execute(
            delete(table).where(column == collection),
            execution_options={"synchronize_session": False},
        )


def follow_visibility(session: Session, row: DataVersion | ModelVersion) -> None:
    """Give the records of a version its visibility.

    Args:
        session: of the transaction.
        row: the version.
    """
    name = row.dataset if isinstance(row, DataVersion) else row.model
    owners = [record_owner(name, row.version)]
    if isinstance(row, ModelVersion):
        owners.append(maps_owner(name, row.version))
    files = select(File.path).where(File.owner.in_(owners))
    for table in (StacItem, StacCollection):
        session.execute(
            update(table).where(table.key.in_(files)).values(visibility=row.visibility),
            execution_options={"synchronize_session": False},
        )


def _access(session: Session, key: str | None) -> dict[str, str | None]:
    """Return who may see a record, as columns of its row.

    The Collection of a model or of maps has Items of many versions, and is visible with them.
    """
    if key is None:
        return {"visibility": Visibility.WORKSPACE, "created_by": None}
    kind, _, reference = str(owner_of(key)).partition(":")
    name, _, version = reference.partition("@")
    if kind in ("record", "maps"):
        data = session.get(DataVersion, (name, version))
        if data is not None:
            return {"visibility": data.visibility, "created_by": data.created_by}
        model = session.get(ModelVersion, (name, version))
        if model is not None:
            run = session.get(Run, model.run_id)
            creator = None if run is None else run.created_by
            return {"visibility": model.visibility, "created_by": creator}
    return {"visibility": Visibility.PRIVATE, "created_by": None}


def _write_collections(session: Session, records: Sequence[RecordRow]) -> None:
    ids = [str(row.document["id"]) for row in records]
    taken = dict(
        session.execute(
            select(StacCollection.id, StacCollection.key).where(StacCollection.id.in_(ids))
        ).all()
    )
    written: dict[str, RecordRow] = {}
    # a model may have a Collection in either catalogue: that of what is not private is found
    for row in sorted(records, key=lambda row: _is_private(row.key)):
        name = str(row.document["id"])
        before = written[name].key if name in written else taken.get(name, row.key)
        if before == row.key or (_is_private(before) and _same_place(before, row.key)):
            written[name] = row
        elif not (_is_private(row.key) and _same_place(before, row.key)):
            advice = (
                "use another name" if before else f"DELETE /stac/collections/{name}, and repeat"
            )
            raise Conflict(
                f"a Collection {name} exists already, of {before or 'a caller of the API'}:"
                f" {row.key or 'this one'} cannot have its id in the STAC API; {advice}"
            )
    session.execute(
        delete(StacCollection).where(StacCollection.id.in_(list(written))),
        execution_options={"synchronize_session": False},
    )
    if written:
        session.execute(
            insert(StacCollection),
            [
                {
                    "id": name,
                    "key": row.key,
                    "sha256": row.sha256,
                    "document": row.document,
                    **_access(session, row.key),
                }
                for name, row in written.items()
            ],
        )


def _is_private(key: str | None) -> bool:
    return key is not None and key.startswith(f"{catalog_folder(private=True)}/")


def _same_place(first: str | None, second: str | None) -> bool:
    """Return whether two documents have the same place, in either catalogue."""
    keys = [None if key is None else key.partition("/")[2] for key in (first, second)]
    return keys[0] is not None and keys[0] == keys[1]


def _write_items(session: Session, records: Sequence[RecordRow]) -> None:
    by_collection: dict[str, list[str]] = {}
    for row in records:
        by_collection.setdefault(str(row.document["collection"]), []).append(
            str(row.document["id"])
        )
    for collection, ids in by_collection.items():
        remove_records(session, collection, ids)
    session.execute(
        insert(StacItem), [{**item_columns(row), **_access(session, row.key)} for row in records]
    )


def item_columns(record: RecordRow) -> dict[str, object]:
    """Return the columns of an Item's row.

    A published record whose geometry cannot be used is found by all but its place.

    Raises:
        SpecificationError: the geometry of an external record, or a time, cannot be used.
    """
    document = dict(record.document)
    properties = document.pop("properties")
    subject = f"Item {document['id']!r}"
    if not isinstance(properties, dict):
        raise SpecificationError(f"{subject} has no properties, which are a JSON object")
    moment, starts, ends = _times(properties, subject)
    sides: tuple[float | None, ...] = (None,) * 4
    shape = None
    geometry = document.get("geometry")
    found = None
    try:
        read = sent_geometry if record.key is None else geometry_of
        found = None if geometry is None else read(geometry, subject)
    except SpecificationError as error:
        if record.key is None:
            raise
        log.warning("%s; it is not found by its place", error)
    if found is not None:
        sides = found.bounds
        shape = None if is_rectangle(geometry, sides) else found.wkb
    return {
        "collection": document["collection"],
        "id": document["id"],
        "key": record.key,
        "sha256": record.sha256,
        "moment": moment,
        "starts": starts,
        "ends": ends,
        **dict(zip(("minx", "miny", "maxx", "maxy"), sides, strict=True)),
        "shape": shape,
        "words": words_of([document["id"], *(properties.get(name) for name in DESCRIBED)]),
        "properties": properties,
        "document": document,
    }


def moment_of(text: object, subject: str) -> datetime:
    """Return a time of RFC 3339.

    Raises:
        SpecificationError: it is not one.
    """
    try:
        found = datetime.fromisoformat(str(text))
        # years 1 and 9999 may be left by the zone
        return found.astimezone(UTC) if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise SpecificationError(
            f"{subject} is {str(text)[:80]!r}; write a time such as 2026-01-31T12:00:00Z"
        ) from None


def words_of(values: Iterable[object]) -> str:
    """Return the words in texts and lists of texts, each with a space before and after it.

    An underscore joins words of names, which are found by either of them.
    """
    flat = (each for value in values for each in (value if isinstance(value, list) else [value]))
    text = " ".join(str(value) for value in flat if value is not None)
    return f" {' '.join(_WORD.findall(text.lower().replace('_', ' ')))} "


def _times(properties: JsonObject, subject: str) -> tuple[datetime, datetime, datetime]:
    """Return the nominal, the first and the last moment."""
    named = {
        name: moment_of(properties[name], f"{name} of {subject}")
        for name in ("datetime", "start_datetime", "end_datetime")
        if properties.get(name) is not None
    }
    starts, ends = named.get("start_datetime"), named.get("end_datetime")
    moment = named.get("datetime", starts)
    if moment is None:
        raise SpecificationError(
            f"{subject} has no datetime; without one it needs start_datetime and end_datetime"
        )
    if starts is None or ends is None:
        return moment, moment, moment
    if ends < starts:
        raise SpecificationError(f"{subject} ends before it starts")
    return moment, starts, ends
