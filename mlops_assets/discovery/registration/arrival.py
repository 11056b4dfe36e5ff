"""Bringing the record of one version to a catalogue, and reading it back.

What is to be there is decided in `plan`; what is there is noted by `registrar`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from mlops_assets.discovery.registration.catalogue import Catalogue, CatalogueError
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.outgoing import withdrawn
from mlops_assets.registry.records.registrations import Arrived, State
from mlops_assets.registry.schema import Registration
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.listing import named

AT_ONCE = 4  # requests that read


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
    found = to.catalogue.get(to.collection)
    is_changed = bool(_differences(collection, found))
    if is_changed:
        _put(to, [collection])
    arrived = Arrived(State.REGISTERED, to.url, _sha256([collection]), _sha256(items))
    known = before.items_sha256 if before.url == to.url else None
    if found is None or known not in (None, arrived.items_sha256):
        _put(to, items)
    elif known is None or not is_changed:
        found_items = zip(items, _found(to, items), strict=True)
        _put(to, [item for item, there in found_items if _differences(item, there)])
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
    found = [document for document in _get_all(to, ids) if document is not None]
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
    for document, found in zip(documents, _found(to, documents), strict=True):
        if different := _differences(document, found):
            raise CatalogueError(
                f"{to.catalogue.name} has taken {document['id']} and returns it otherwise:"
                f" {named(different)}; correct it there, then run"
                " 'mlops registration register'",
                temporary=False,
            )


def _found(to: Destination, documents: Sequence[JsonObject]) -> list[JsonObject | None]:
    """Return what a catalogue has in the places of documents."""
    ids = [str(each["id"]) if each["type"] == "Feature" else None for each in documents]
    return _get_all(to, ids)


def _get_all(to: Destination, ids: Sequence[str | None]) -> list[JsonObject | None]:
    """Return Items of a Collection, or itself for None, as a catalogue has them."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(partial(to.catalogue.get, to.collection), ids))


def _differences(document: JsonObject, found: JsonObject | None) -> list[str]:
    return ["it is missing"] if found is None else differences(document, found)


def _sha256(documents: Sequence[JsonObject]) -> str:
    text = json.dumps(documents, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
