"""Bringing the record of one version to a catalogue, and reading it back.

What is to be there is decided in `plan`; what is there is noted by `registrar`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from mlops_assets.discovery.registration.catalogue import Catalogue, CatalogueError
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.outgoing import withdrawn
from mlops_assets.registry.records.registrations import Arrived, State
from mlops_assets.registry.schema import Registration
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.listing import named


@dataclass(frozen=True)
class Destination:
    """The record of a version at a catalogue.

    Attributes:
        catalogue: takes it.
        url: of the record there.
        collection: id of its Collection.
        item: id of the Item of a model version; None for a data version, whose record is the
            Collection with all Items.
    """

    catalogue: Catalogue
    url: str
    collection: str
    item: str | None

    def get(self, document: JsonObject) -> JsonObject | None:
        """Return what the catalogue has in the place of a document."""
        item = str(document["id"]) if document["type"] == "Feature" else None
        return self.catalogue.get(self.collection, item)


def register(
    to: Destination, collection: JsonObject, items: Sequence[JsonObject], before: Registration
) -> Arrived:
    """Bring Collection and Items to a catalogue, the Collection first; what is there stays.

    Items that were found there before are read again only if nothing else is to be done.

    Args:
        to: the catalogue, and the record there.
        collection: as it is to be there.
        items: as they are to be there.
        before: what arrived last.

    Raises:
        CatalogueError: not all has arrived, or it is not as it was sent.
    """
    found = to.get(collection)
    is_changed = found is None or bool(differences(collection, found))
    if is_changed:
        _put(to, [collection])
    arrived = Arrived(State.REGISTERED, to.url, _sha256([collection]), _sha256(items))
    known = before.items_sha256 if before.url == to.url else None
    if found is None or known not in (None, arrived.items_sha256):
        _put(to, items)
    elif known is None or not is_changed:
        _put(to, [item for item in items if _is_missing(to, item)])
    return arrived


def deprecate(to: Destination, items: Sequence[str]) -> Arrived:
    """Mark what a catalogue has of a record as deprecated; the content stays what it was.

    Args:
        to: the catalogue, and the record there.
        items: ids of the Items of the record.

    Raises:
        CatalogueError: it is not known to be marked.
    """
    ids = [*items] if to.item else [None, *items]
    there = [to.catalogue.get(to.collection, item) for item in ids]
    found = [document for document in there if document is not None]
    if not found:
        return Arrived(State.DELETED, to.url)
    marked = [withdrawn(document) for document in found]
    changed = [new for new, old in zip(marked, found, strict=True) if differences(new, old)]
    collections = [document for document in changed if document["type"] == "Collection"]
    _put(to, collections)
    _put(to, [document for document in changed if document not in collections])
    return Arrived(State.DEPRECATED, to.url, items_sha256=_sha256(marked))


def delete(to: Destination, is_last: bool) -> Arrived:
    """Delete a record from a catalogue.

    Args:
        to: the catalogue, and the record there.
        is_last: whether the Collection of a model goes, too.

    Raises:
        CatalogueError: it is not known to be deleted.
    """
    to.catalogue.delete(to.collection, to.item)
    if to.item is not None and is_last:
        to.catalogue.delete(to.collection)
    if to.catalogue.get(to.collection, to.item) is not None:
        raise CatalogueError(
            f"{to.catalogue.name} still has {to.url}, which it has reported as deleted",
            temporary=True,
        )
    return Arrived(State.DELETED, to.url)


def _put(to: Destination, documents: Sequence[JsonObject]) -> None:
    """Send documents, and compare what the catalogue has with them."""
    if not documents:
        return
    to.catalogue.put(documents)
    for document in documents:
        found = to.get(document)
        different = ["it is missing"] if found is None else differences(document, found)
        if different:
            raise CatalogueError(
                f"{to.catalogue.name} has taken {document['id']} and returns it otherwise:"
                f" {named(different)}; correct it there, then run"
                " 'mlops registration register'",
                temporary=False,
            )


def _is_missing(to: Destination, document: JsonObject) -> bool:
    found = to.get(document)
    return found is None or bool(differences(document, found))


def _sha256(documents: Sequence[JsonObject]) -> str:
    text = json.dumps(documents, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
