"""Bringing the record of one version to a catalogue, and reading it back.

What is to be there is decided in `plan`; what is there is noted by `registrar`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

from mlops_assets.datasets.io.ahead import batches
from mlops_assets.discovery.registration.catalogue import Catalogue, CatalogueError
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.exchange import json_bytes
from mlops_assets.discovery.registration.outgoing import withdrawn
from mlops_assets.registry.records.registrations import Arrived, State
from mlops_assets.registry.schema import Registration
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.listing import named

AT_ONCE = 4  # requests that read
# of Items that are in memory at once
MAX_ITEMS = 1_000
MAX_BYTES = 8 << 20
DIGEST = "mlops:digest"  # of the data that a Collection describes

# each time from the first one
Items = Callable[[], Iterable[JsonObject]]


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
    to: Destination, collection: JsonObject, items: Items, before: Registration
) -> Arrived:
    """Bring Collection and Items to a catalogue, the Collection first; what is there stays.

    Items that were found there before are read again only if nothing else is to be done.

    Args:
        to: the catalogue, and the record there.
        collection: as it is to be there.
        items: returns them as they are to be there.
        before: what arrived last.

    Raises:
        CatalogueError: not all has arrived, or it is not as it was sent; or the Collection that is
            there describes other data.
    """
    arrived = Arrived(State.REGISTERED, to.url, _sha256([collection]), _sha256(items()))
    found = to.catalogue.get(to.collection)
    _require_own(to, collection, found)
    is_changed = bool(_differences(collection, found))
    if is_changed:
        _put(to, [collection])
    known = before.items_sha256 if before.url == to.url else None
    if found is None or known not in (None, arrived.items_sha256):
        for batch in _batches(items()):
            _put(to, batch)
    elif known is None or not is_changed:
        for batch in _batches(items()):
            there = _find(to, batch)
            _put(to, [item for item in batch if _differences(item, there.get(_id(item)))])
    return arrived


def deprecate(to: Destination, own: JsonObject, items: Items) -> Arrived:
    """Mark what a catalogue has of a record as deprecated; the content stays what it was.

    Args:
        to: the catalogue, and the record there.
        own: the Collection of the record, as it would be sent.
        items: returns the Items of the record.

    Raises:
        CatalogueError: it is not known to be marked.
    """
    state = State.DELETED
    if to.item is None:
        collection = to.catalogue.get(to.collection)
        if collection is None:
            return Arrived(state, to.url)
        _require_own(to, own, collection)
        _mark(to, [collection])
        state = State.DEPRECATED
    for batch in _batches(items()):
        there = _find(to, batch)
        missing = [_id(item) for item in batch if _id(item) not in there]
        found = [*there.values(), *(each for each in _get_all(to, missing) if each is not None)]
        _mark(to, found)
        if found:
            state = State.DEPRECATED
    return Arrived(state, to.url)


def delete(to: Destination) -> Arrived:
    """Delete a record from a catalogue; with its last Item, the Collection of a model, too.

    Args:
        to: the catalogue, and the record there.

    Raises:
        CatalogueError: it is not known to be deleted.
    """
    to.catalogue.delete(to.collection, to.item)
    if to.item is not None and to.catalogue.is_empty(to.collection):
        to.catalogue.delete(to.collection)
    if to.catalogue.get(to.collection, to.item) is not None:
        raise CatalogueError(
            f"{to.catalogue.name} still has {to.url}, which it has reported as deleted",
            temporary=True,
        )
    return Arrived(State.DELETED, to.url)


def _require_own(to: Destination, collection: JsonObject, found: JsonObject | None) -> None:
    """Refuse to replace the Collection of a data version of another workspace, or of others."""
    own = collection.get(DIGEST)
    if own is not None and found is not None and found.get(DIGEST) != own:
        raise CatalogueError(
            f"{to.url} has a Collection of other data, with {DIGEST} {found.get(DIGEST)!r} and not"
            f" {own!r}; it stays as it is. Delete it there, or name the dataset otherwise",
            temporary=False,
        )


def _mark(to: Destination, found: Sequence[JsonObject]) -> None:
    """Put documents that a catalogue has as deprecated, unless they are."""
    marked = [withdrawn(document, to.catalogue.api) for document in found]
    _put(to, [new for new, old in zip(marked, found, strict=True) if differences(new, old)])


def _put(to: Destination, documents: Sequence[JsonObject]) -> None:
    """Send a Collection or Items, and compare what the catalogue has with them."""
    if not documents:
        return
    to.catalogue.put(documents)
    found = _find(to, documents)
    doubtful = [each for each in documents if _differences(each, found.get(_id(each)))]
    # one by one, as those that have just been sent are
    read = _get_all(to, [_id(each) for each in doubtful])
    for document, there in zip(doubtful, read, strict=True):
        if different := _differences(document, there):
            raise CatalogueError(
                f"{to.catalogue.name} has taken {document['id']} and returns it otherwise:"
                f" {named(different)}; correct it there, then run"
                " 'mlops registration register'",
                temporary=False,
            )


def _find(to: Destination, documents: Sequence[JsonObject]) -> dict[str | None, JsonObject]:
    """Return what a catalogue finds in the places of a Collection or Items."""
    ids = [name for name in map(_id, documents) if name is not None]
    if len(ids) > 1:
        return dict(to.catalogue.find(to.collection, ids).items())
    own = _id(documents[0])
    found = to.catalogue.get(to.collection, own)
    return {} if found is None else {own: found}


def _get_all(to: Destination, ids: Sequence[str | None]) -> list[JsonObject | None]:
    """Return Items of a Collection, or itself for None, as a catalogue has them."""
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(partial(to.catalogue.get, to.collection), ids))


def _id(document: JsonObject) -> str | None:
    """Return the id of an Item; None for a Collection."""
    return str(document["id"]) if document["type"] == "Feature" else None


def _batches(items: Iterable[JsonObject]) -> Iterator[list[JsonObject]]:
    return batches(items, lambda item: len(json_bytes(item)), MAX_ITEMS, MAX_BYTES)


def _differences(document: JsonObject, found: JsonObject | None) -> list[str]:
    return ["it is missing"] if found is None else differences(document, found)


def _sha256(documents: Iterable[JsonObject]) -> str:
    digest = hashlib.sha256()
    for document in documents:
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        digest.update(f"{text}\n".encode())
    return digest.hexdigest()
