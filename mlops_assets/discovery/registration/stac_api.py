"""STAC APIs with the Transactions extension, as catalogues that take records."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

from mlops_assets.datasets.io.ahead import batches
from mlops_assets.discovery.links import objects
from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.exchange import (
    CONNECTIONS,
    AnswerTooLarge,
    Asking,
    Server,
    as_object,
    json_bytes,
    record_of,
)
from mlops_assets.text.json_values import JsonObject

# of Items sent at once; with one more, this is below what nginx takes by default, 1 MiB
BULK_BYTES = 500_000
BULK_ITEMS = 1_000
FOUND_ITEMS = 100  # of a search by ids; more are refused, or left to a next page, by some APIs
_EXISTING = (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT)


class StacApi:
    """A STAC API with Transactions. Implements `Catalogue`.

    Attributes:
        name: as it is declared.
        api: URL of its landing page, with a slash at its end.
    """

    def __init__(self, url: str, server: Server) -> None:
        """Send records to an API.

        Args:
            url: of its landing page.
            server: that serves it.
        """
        self.name = server.name
        self.api = f"{url.rstrip('/')}/"
        self._server = server
        self._bulk: bool | None = None

    def put(self, documents: Sequence[JsonObject]) -> None:
        """Create or replace a Collection, or Items of one Collection that the catalogue has.

        Several Items are sent at once where the API has stac-fastapi's bulk transactions.

        Args:
            documents: as `outgoing` makes them.

        Raises:
            CatalogueError: it has not taken all of them; some may be there.
        """
        with self._server.asking() as asking:
            if len(documents) > 1 and self._takes_bulk(asking, str(documents[0]["collection"])):
                for items in batches(documents, _size, BULK_ITEMS, BULK_BYTES):
                    self._put_bulk(asking, items)
            else:
                self._put_each(asking, documents, CONNECTIONS)

    def get(self, collection: str, item: str | None = None) -> JsonObject | None:
        """Return a Collection or one of its Items; None if the catalogue has none.

        Raises:
            CatalogueError: it has not answered as expected.
        """
        with self._server.asking() as asking:
            return self._get(asking, collection, item)

    def find(self, collection: str, items: Sequence[str]) -> dict[str, JsonObject]:
        """Return those of many Items that a search finds, by their ids.

        They are read one by one where the API has no search by ids.

        Args:
            collection: id of their Collection.
            items: their ids.

        Raises:
            CatalogueError: it has not answered as expected.
        """
        found: dict[str, JsonObject] = {}
        with self._server.asking() as asking:
            for first in range(0, len(items), FOUND_ITEMS):
                ids = items[first : first + FOUND_ITEMS]
                found |= self._find(asking, collection, ids)
        return found

    def is_empty(self, collection: str) -> bool:
        """Return whether a Collection has no Items, those of others included.

        Raises:
            CatalogueError: it has not answered as expected.
        """
        url = f"{self._url(collection, '')}?limit=1"
        with self._server.asking() as asking:
            answer = asking.ask("GET", url, expected=(HTTPStatus.NOT_FOUND,))
        return answer.refusal is not None or as_object(answer).get("features") == []

    def delete(self, collection: str, item: str | None = None) -> None:
        """Delete an Item, or a Collection with its Items; nothing if the catalogue has none.

        Raises:
            CatalogueError: it is still there, or may be.
        """
        with self._server.asking() as asking:
            # pycsw finds Items by their ids alone, and would delete that of another Collection
            if self._get(asking, collection, item) is not None:
                missing = (int(HTTPStatus.NOT_FOUND),)
                asking.ask("DELETE", self._url(collection, item), expected=missing)

    def _get(self, asking: Asking, collection: str, item: str | None) -> JsonObject | None:
        url = self._url(collection, item)
        answer = asking.ask("GET", url, expected=(HTTPStatus.NOT_FOUND,))
        subject = f"catalogue {self.name}: GET {url}"
        name = collection if item is None else item
        found = record_of(answer, subject, name, f"that {self.api} is a STAC API")
        if found is not None and item is not None and found.get("collection") != collection:
            return None
        return found

    def _find(self, asking: Asking, collection: str, items: Sequence[str]) -> dict[str, JsonObject]:
        """Return what is found of the Items of a page."""
        body: JsonObject = {"collections": [collection], "ids": [*items], "limit": len(items)}
        try:
            page = as_object(asking.ask("POST", f"{self.api}search", body))
        except AnswerTooLarge:
            page = {}
        except CatalogueError as error:
            if error.temporary:
                raise
            page = {}
        features = page.get("features")
        found = {
            str(feature.get("id")): feature
            for feature in objects(features)
            if feature.get("collection") == collection
        }
        # some search by fewer conditions, or return fewer Items at once, than they are asked for
        if not isinstance(features, list) or not found.keys() <= {*items} or _has_next(page):
            found = {name: found[name] for name in items if name in found}
            left = [name for name in items if name not in found]
            with ThreadPoolExecutor(CONNECTIONS) as threads:
                read = threads.map(partial(self._get, asking, collection), left)
                found |= {
                    name: item for name, item in zip(left, read, strict=True) if item is not None
                }
        return found

    def _put_each(self, asking: Asking, documents: Sequence[JsonObject], connections: int) -> None:
        with ThreadPoolExecutor(connections) as threads:
            for _ in threads.map(partial(self._put_one, asking), documents):
                pass

    def _put_one(self, asking: Asking, document: JsonObject) -> None:
        name, collection = str(document["id"]), document.get("collection")
        where = (name, None) if collection is None else (str(collection), name)
        posted = self._url() if collection is None else self._url(str(collection), "")
        answer = asking.ask("POST", posted, document, expected=_EXISTING)
        if answer.refusal is None:
            return
        # an existing one is 409 in most APIs, 400 in pycsw, where it can be of another Collection,
        # which a PUT would take it from
        if self._get(asking, *where) is None:
            raise _with_remedy(answer.refusal, document)
        asking.ask("PUT", self._url(*where), document)

    def _takes_bulk(self, asking: Asking, collection: str) -> bool:
        """Return whether several Items can be sent at once, which no API announces.

        It is asked once.
        """
        if self._bulk is not None:
            return self._bulk
        empty: JsonObject = {"items": {}, "method": "upsert"}
        # some implementations may fail without an Item
        failed = (HTTPStatus.INTERNAL_SERVER_ERROR,)
        try:
            answer = asking.ask("POST", f"{self._url(collection)}/bulk_items", empty, failed)
        except CatalogueError as error:
            if error.temporary:
                raise
            self._bulk = False
        else:
            self._bulk = as_object(answer).get("received") == 0
        return self._bulk

    def _put_bulk(self, asking: Asking, items: Sequence[JsonObject]) -> None:
        url = f"{self._url(str(items[0]['collection']))}/bulk_items"
        body: JsonObject = {
            "items": {str(item["id"]): item for item in items},
            "method": "upsert",
        }
        try:
            answer = as_object(asking.ask("POST", url, body))
        except CatalogueError as error:
            if error.temporary:
                raise
        else:
            if answer.get("success") == len(items):
                return
        # each by itself, for the message about the one that is refused; one after the other, as
        # pgstac fails now and then when several arrive at once
        self._put_each(asking, items, 1)

    def _url(self, collection: str | None = None, item: str | None = None) -> str:
        """Return the URL of all Collections, one, all its Items (an empty name), or one."""
        parts = ["collections"]
        if collection is not None:
            parts.append(quote(collection, safe=""))
        if item is not None:
            parts.append("items")
        if item:
            parts.append(quote(item, safe=""))
        return self.api + "/".join(parts)


def _with_remedy(refusal: CatalogueError, document: JsonObject) -> CatalogueError:
    """Return a refusal with what to do, where the record is one that pgstac never takes."""
    if document.get("geometry", "") is not None:
        return refusal
    return CatalogueError(
        f"{refusal}; the Item has no geometry, which some catalogues need: declare extent of its"
        " dataset, then record this version again",
        temporary=False,
    )


def _has_next(page: JsonObject) -> bool:
    return any(link.get("rel") == "next" for link in objects(page.get("links")))


def _size(document: JsonObject) -> int:
    return len(json_bytes(document))
