"""Resource Registration of EOEPCA 2.0, an OGC API - Processes, as a catalogue that takes records.

It writes to a STAC API, and to an OGC API - Records where one is declared; both are read here.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import quote, urlsplit

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_exponential

from mlops_assets.discovery.links import objects
from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.exchange import (
    CONNECTIONS,
    Asking,
    Server,
    as_object,
    message_of,
    record_of,
)
from mlops_assets.discovery.registration.stac_api import StacApi
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.listing import named

JOB_SECONDS = 300.0  # that a job may take
MAX_WAIT_SECONDS = 10.0  # between two looks at a job
_PAGE = 100  # Items
_FOUND = 20  # Items of a request whose URL has their ids, of up to 255 bytes
_RUNNING = ("accepted", "running")
# validation lists a JSON path for each value; all else may be of a target that is down
_INVALID = re.compile(r"\$(\.|\[|:)")
_MISSING = (int(HTTPStatus.NOT_FOUND),)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Target:
    """A service that Resource Registration writes to.

    Attributes:
        relation: its kind, as Resource Registration names it.
        url: of its landing page, without a slash at its end.
    """

    relation: str
    url: str

    def collection(self, name: str) -> str:
        """Return the URL of a Collection there."""
        return f"{self.url}/collections/{quote(name, safe='')}"

    def item(self, collection: str, name: str) -> str:
        """Return the URL of an Item there."""
        return f"{self.collection(collection)}/items/{quote(name, safe='')}"

    def inputs(self, collection: str | None) -> JsonObject:
        """Return this target as an input, for an Item of a Collection or a Collection itself."""
        named: JsonObject = {} if collection is None else {"collection": collection}
        return {"rel": self.relation, "href": self.url, **named}


class ResourceRegistration:
    """Resource Registration of EOEPCA. Implements `Catalogue`.

    The STAC API is written last, so that a record there is in the other target, too.

    Attributes:
        name: as it is declared.
        api: URL of the STAC API, with a slash at its end.
    """

    def __init__(self, url: str, stac: str, records: str | None, server: Server) -> None:
        """Register records.

        Args:
            url: of Resource Registration.
            stac: URL of the STAC API that it is to register with.
            records: URL of the OGC API - Records that it is to register with, too.
            server: name and credentials of all three.
        """
        self.name = server.name
        self._url = url.rstrip("/")
        self._server = server
        self._stac = StacApi(stac, server)
        self.api = self._stac.api
        self._targets = [Target("https://api.stacspec.org/v1.0.0/core", stac.rstrip("/"))]
        self._records = None
        if records is not None:
            relation = "http://www.opengis.net/spec/ogcapi-records-1/1.0"
            self._records = Target(relation, records.rstrip("/"))
            self._targets.insert(0, self._records)

    def put(self, documents: Sequence[JsonObject]) -> None:
        """Create or replace a Collection, or Items of one Collection that the catalogue has.

        Args:
            documents: as `outgoing` makes them; each is sent whole, as what a URL of this
                workspace returns has other links.

        Raises:
            CatalogueError: it has not taken all of them; some may be there.
        """
        with self._server.asking() as asking, ThreadPoolExecutor(CONNECTIONS) as threads:
            for target in self._targets:
                for _ in threads.map(partial(self._register, asking, target), documents):
                    pass

    def get(self, collection: str, item: str | None = None) -> JsonObject | None:
        """Return a Collection or one of its Items; None if neither target has it.

        Unless both have the same, what is returned equals nothing that is sent.

        Raises:
            CatalogueError: one of them has not answered as expected.
        """
        document = self._stac.get(collection, item)
        if self._records is None:
            return document
        with self._server.asking() as asking:
            record = self._record(asking, self._records, collection, item)
        return _alike(document, record)

    def find(self, collection: str, items: Sequence[str]) -> dict[str, JsonObject]:
        """Return those of many Items that a search finds, by their ids.

        Unless both targets have the same, what is returned equals nothing that is sent.

        Args:
            collection: id of their Collection.
            items: their ids.

        Raises:
            CatalogueError: one of the targets has not answered as expected.
        """
        documents = self._stac.find(collection, items)
        if self._records is None:
            return documents
        records: dict[str, JsonObject] = {}
        with self._server.asking() as asking:
            for first in range(0, len(items), _FOUND):
                part = items[first : first + _FOUND]
                records |= self._find_records(asking, self._records, collection, part)
        found = {name: _alike(documents.get(name), records.get(name)) for name in items}
        return {name: item for name, item in found.items() if item is not None}

    def is_empty(self, collection: str) -> bool:
        """Return whether a Collection of the STAC API has no Items, those of others included.

        Raises:
            CatalogueError: it has not answered as expected.
        """
        return self._stac.is_empty(collection)

    def delete(self, collection: str, item: str | None = None) -> None:
        """Delete an Item, or a Collection with its Items; nothing if the catalogue has none.

        Raises:
            CatalogueError: it is still there, or may be.
        """
        with self._server.asking() as asking:
            for target in self._targets:
                if item is None:
                    self._empty(asking, target, collection)
                self._deregister(asking, target, collection, item)

    def _register(self, asking: Asking, target: Target, document: JsonObject) -> None:
        collection = document.get("collection")
        of = None if collection is None else str(collection)
        relation = "collection" if of is None else "item"
        inputs: JsonObject = {
            "source": {"rel": relation, "content": document},
            "target": target.inputs(of),
        }
        result = self._execute(asking, "register", inputs)
        link = result.get("resource-and-data-catalogue-link")
        where = link.get("href") if isinstance(link, dict) else target.url
        log.info("catalogue %s: registered %s %s at %s", self.name, relation, document["id"], where)
        if target is self._records:
            self._compare(asking, target, document)

    def _compare(self, asking: Asking, target: Target, document: JsonObject) -> None:
        """Compare a record with what was sent; callers do so with that of the STAC API."""
        name = str(document["id"])
        collection = document.get("collection")
        where = (name, None) if collection is None else (str(collection), name)
        record = self._record(asking, target, *where)
        different = ["it is missing"] if record is None else _differences(document, record)
        if different:
            raise CatalogueError(
                f"catalogue {self.name}: {target.url} has taken {name} and returns it otherwise:"
                f" {named(different)}",
                temporary=record is None,
            )

    def _deregister(
        self, asking: Asking, target: Target, collection: str, item: str | None
    ) -> None:
        if self._record(asking, target, collection, item) is None:
            return
        inputs: JsonObject = {
            "id": collection if item is None else item,
            "rel": "collection" if item is None else "item",
            "target": target.inputs(None if item is None else collection),
        }
        if item is not None:
            inputs["collection"] = collection
        try:
            self._execute(asking, "deregister", inputs)
        except CatalogueError:
            # another process may have been first
            if self._record(asking, target, collection, item) is not None:
                raise

    def _empty(self, asking: Asking, target: Target, collection: str) -> None:
        """Delete all Items of a Collection, which would be left without one."""
        done: set[str] = set()
        url = f"{target.collection(collection)}/items?limit={_PAGE}"
        while True:
            page = as_object(asking.ask("GET", url, expected=_MISSING))
            found = [str(feature["id"]) for feature in objects(page.get("features"))]
            if not found:
                return
            if not done.isdisjoint(found):
                raise CatalogueError(
                    f"catalogue {self.name}: {url} lists Items that are deregistered",
                    temporary=True,
                )
            for item in found:
                self._deregister(asking, target, collection, item)
            done.update(found)

    def _record(
        self, asking: Asking, target: Target, collection: str, item: str | None
    ) -> JsonObject | None:
        """Return what a target has; None if it has none."""
        url = target.collection(collection) if item is None else target.item(collection, item)
        answer = asking.ask("GET", url, expected=_MISSING)
        subject = f"catalogue {self.name}: GET {url}"
        name = collection if item is None else item
        return record_of(answer, subject, name, f"the declared URL {target.url}")

    def _find_records(
        self, asking: Asking, target: Target, collection: str, items: Sequence[str]
    ) -> dict[str, JsonObject]:
        """Return what an OGC API - Records has of several Items, one by one if not by their ids."""
        ids = ",".join(quote(item, safe="") for item in items)
        url = f"{target.collection(collection)}/items?limit={len(items)}&ids={ids}"
        try:
            page = as_object(asking.ask("GET", url, expected=_MISSING))
        except CatalogueError as error:
            if error.temporary:
                raise
            page = {}
        found = {str(feature.get("id")): feature for feature in objects(page.get("features"))}
        found = {name: found[name] for name in items if name in found}
        left = [name for name in items if name not in found]
        with ThreadPoolExecutor(CONNECTIONS) as threads:
            read = list(
                threads.map(partial(self._record, asking, target, collection), left),
            )
        for name, record in zip(left, read, strict=True):
            if record is not None:
                found[name] = record
        return found

    def _execute(self, asking: Asking, process: str, inputs: JsonObject) -> JsonObject:
        """Execute a process, at once or as a job, and return its result.

        Raises:
            CatalogueError: it was refused, or has failed.
        """
        answer = asking.ask(
            "POST",
            f"{self._url}/processes/{process}/execution",
            {"inputs": inputs},
            expected=(HTTPStatus.BAD_REQUEST,),
            headers={"Prefer": "respond-async"},
        )
        if answer.refusal is not None:
            raise _refused(str(answer.refusal))
        if answer.status != HTTPStatus.CREATED:
            return as_object(answer)
        # under our URL, as a server behind a gateway may know another one of itself
        job = urlsplit(answer.location or "").path.rstrip("/").rpartition("/")[2]
        if not job:
            raise CatalogueError(
                f"catalogue {self.name}: the answer to {process} names no job in 'Location'",
                temporary=True,
            )
        return self._result(asking, f"{self._url}/jobs/{job}")

    def _result(self, asking: Asking, job: str) -> JsonObject:
        """Wait for a job, and return its result."""
        looks = Retrying(
            retry=retry_if_result(lambda found: found.get("status") in _RUNNING),
            wait=wait_exponential(multiplier=0.1, max=MAX_WAIT_SECONDS),
            stop=stop_after_delay(JOB_SECONDS),
        )
        try:
            state = looks(lambda: as_object(asking.ask("GET", job)))
        except RetryError:
            raise CatalogueError(
                f"catalogue {self.name}: the job {job} is still running after {JOB_SECONDS:g} s",
                temporary=True,
            ) from None
        if state.get("status") != "successful":
            reason = message_of(state) or "it does not say why"
            raise _refused(
                f"catalogue {self.name}: the job {job} is {state.get('status')}: {reason}"
            )
        return as_object(asking.ask("GET", f"{job}/results", expected=_MISSING))


def _refused(message: str) -> CatalogueError:
    """Return the error for a process that has failed, of whatever reason."""
    return CatalogueError(message, temporary=_INVALID.search(message) is None)


def _alike(document: JsonObject | None, record: JsonObject | None) -> JsonObject | None:
    """Return the document of the STAC API, if the OGC API - Records has it, too.

    Otherwise what one of them has, as one that differs from all that are sent; None if neither has
    anything.
    """
    if document is None or record is None:
        found = document or record
        return None if found is None else _unequal(found)
    return _unequal(document) if _differences(document, record) else document


def _unequal(document: JsonObject) -> JsonObject:
    """Return a document that differs from all that are sent.

    What differs is the one member that `withdrawn` replaces, so that it never reaches a catalogue.
    """
    mark: JsonObject = {"deprecated": "the STAC API and the OGC API - Records do not have the same"}
    properties = document.get("properties")
    if isinstance(properties, dict):
        return {**document, "properties": {**properties, **mark}}
    return {**document, **mark}


def _differences(document: JsonObject, record: JsonObject) -> list[str]:
    """Return where a record of the OGC API - Records is another one than a STAC document.

    Only what both have is compared, as a catalogue of records keeps less.
    """
    names = document.keys() & record.keys() & {"title", "description", "geometry"}
    sent, found = ({name: each[name] for name in names} for each in (document, record))
    own, other = document.get("properties"), record.get("properties")
    if isinstance(own, dict) and isinstance(other, dict):
        common = own.keys() & other.keys()
        sent["properties"] = {name: own[name] for name in common}
        found["properties"] = {name: other[name] for name in common}
    return differences(sent, found)
