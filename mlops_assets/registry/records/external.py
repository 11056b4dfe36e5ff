"""External records: Collections and Items that callers of the STAC API send, change and remove.

They are rows of the registry, which the log states, as no file of the workspace does. Records of
the catalogue are changed by what publishes them only.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from mlops_assets.errors import Conflict, NotFound
from mlops_assets.principals import Principal, Role
from mlops_assets.registry.log.chain import insert_rows
from mlops_assets.registry.records.lookup import sees
from mlops_assets.registry.records.rows import (
    RecordRow,
    remove_collection,
    remove_records,
    write_records,
)
from mlops_assets.registry.schema import DataVersion, ExternalRecord, StacCollection
from mlops_assets.registry.session import RegistrySession, now
from mlops_assets.text.json_values import JsonObject

_VERSION = re.compile(r"(.+)-v\d+")
OF_THE_COLLECTION = ""  # as the id of a row


def send_collection(registry: RegistrySession, document: JsonObject, replace: bool) -> None:
    """Add a Collection, or replace one.

    Args:
        registry: receives it.
        document: the Collection.
        replace: whether it replaces one, which must exist then.

    Raises:
        Conflict: it exists already, or is a record of the catalogue.
        Forbidden: the principal may not.
        NotFound: there is none to be replaced.
    """
    name = str(document["id"])
    with registry.transaction("send external records", Role.SCIENTIST) as session:
        if replace:
            _require_external(session, registry.principal, name)
        else:
            _require_unreserved(session, name)
            _require_absent(session, registry.principal, name)
        _keep(session, registry, name, {OF_THE_COLLECTION: document})
        write_records(session, [RecordRow(document)])


def send_items(
    registry: RegistrySession, collection: str, documents: Sequence[JsonObject], replace: bool
) -> None:
    """Add Items to a Collection, or replace some: all of them or none.

    Args:
        registry: receives them.
        collection: their Collection.
        documents: the Items.
        replace: whether they replace Items, which must exist then.

    Raises:
        Conflict: one exists already, is there twice, or the Collection is of the catalogue.
        Forbidden: the principal may not.
        NotFound: there is no such Collection, or none to be replaced.
        SpecificationError: one has no usable geometry or time.
    """
    by_id = {str(document["id"]): document for document in documents}
    if len(by_id) < len(documents):
        raise Conflict("an Item is there twice; send each once")
    with registry.transaction("send external records", Role.SCIENTIST) as session:
        _require_external(session, registry.principal, collection)
        present = set(
            session.scalars(
                select(ExternalRecord.id).where(
                    ExternalRecord.collection == collection, ExternalRecord.id.in_(by_id)
                )
            )
        )
        if present and not replace:
            raise Conflict(
                f"Item {min(present)!r} is in Collection {collection!r} already; replace it by PUT"
            )
        if replace and (missing := by_id.keys() - present):
            raise NotFound(f"Item {min(missing)!r} is not in Collection {collection!r}")
        _keep(session, registry, collection, by_id)
        write_records(session, [RecordRow(document) for document in documents])


def change_record(
    registry: RegistrySession,
    collection: str,
    name: str,
    change: Callable[[JsonObject], JsonObject],
) -> JsonObject:
    """Change an Item, or a Collection, in one transaction, so that no other change is lost.

    Args:
        registry: has it.
        collection: id of the Collection.
        name: id of the Item; empty for the Collection itself.
        change: returns the document as it is to be, and may refuse.

    Returns:
        The changed document.

    Raises:
        Conflict: it is of the catalogue.
        Forbidden: the principal may not.
        NotFound: there is none.
        SpecificationError: the changed one has no usable geometry or time.
    """
    with registry.transaction("send external records", Role.SCIENTIST) as session:
        _require_external(session, registry.principal, collection)
        row = session.get(ExternalRecord, (collection, name), with_for_update=True)
        if row is None:
            raise NotFound(f"Item {name!r} is not in Collection {collection!r}")
        row.document = change(row.document)
        row.changed, row.changed_by = now(), registry.principal.name
        write_records(session, [RecordRow(row.document)])
        return row.document


def withdraw_item(registry: RegistrySession, collection: str, name: str) -> None:
    """Remove an Item.

    Raises:
        Conflict: its Collection is of the catalogue.
        Forbidden: the principal may not.
        NotFound: there is none.
    """
    with registry.transaction("withdraw external records", Role.SCIENTIST) as session:
        _require_external(session, registry.principal, collection)
        row = session.get(ExternalRecord, (collection, name)) if name else None
        if row is None:
            raise NotFound(f"Item {name!r} is not in Collection {collection!r}")
        session.delete(row)
        remove_records(session, collection, [name])


def withdraw_collection(registry: RegistrySession, collection: str) -> None:
    """Remove a Collection with its Items.

    Raises:
        Conflict: it is of the catalogue.
        Forbidden: the principal may not.
        NotFound: there is none.
    """
    with registry.transaction("withdraw external records", Role.SCIENTIST) as session:
        _require_external(session, registry.principal, collection)
        rows = select(ExternalRecord).where(ExternalRecord.collection == collection)
        for row in session.scalars(rows):
            session.delete(row)
        remove_collection(session, collection)


def _require_unreserved(session: Session, name: str) -> None:
    """Check that no version of a dataset would have this id, whoever sees the dataset.

    Which of its versions there are is not told.
    """
    if (version := _VERSION.fullmatch(name)) is None:
        return
    own = select(DataVersion.version).where(DataVersion.dataset == version[1]).limit(1)
    if session.scalar(own) is not None:
        raise Conflict(
            f"Collection {name!r} would have the id of a version of the dataset {version[1]};"
            " use another id"
        )


def _require_absent(session: Session, principal: Principal, name: str) -> None:
    if session.get(StacCollection, name) is None:
        return
    if _is_seen(session, principal, name):
        raise Conflict(f"Collection {name!r} exists already; replace it by PUT")
    raise Conflict(f"a Collection cannot have the id {name!r} here; use another id")


def _is_seen(session: Session, principal: Principal, name: str) -> bool:
    seen = select(StacCollection.id).where(
        StacCollection.id == name, sees(principal, StacCollection)
    )
    return session.scalar(seen) is not None


def _require_external(session: Session, principal: Principal, collection: str) -> None:
    row = session.get(StacCollection, collection)
    if row is None or not _is_seen(session, principal, collection):
        raise NotFound(f"there is no Collection {collection!r}")
    if row.key is not None:
        raise Conflict(
            f"Collection {collection!r} is a record of this workspace, which its dataset or model"
            " publishes; it cannot be changed here"
        )


def _keep(
    session: Session, registry: RegistrySession, collection: str, documents: dict[str, JsonObject]
) -> None:
    changed, author = now(), registry.principal.name
    known = {
        row.id: row
        for row in session.scalars(
            select(ExternalRecord).where(
                ExternalRecord.collection == collection, ExternalRecord.id.in_(documents)
            )
        )
    }
    for name, row in known.items():
        row.document = documents[name]
        row.changed = changed
        row.changed_by = author
    added = [
        {
            "collection": collection,
            "id": name,
            "document": document,
            "changed": changed,
            "changed_by": author,
        }
        for name, document in documents.items()
        if name not in known
    ]
    insert_rows(session, ExternalRecord, added)
