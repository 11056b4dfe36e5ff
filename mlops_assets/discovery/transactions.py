"""Transactions of the STAC API: external records are sent, changed and removed by those who may.

A document is kept as it was sent, without the links that the API makes itself.
"""

from __future__ import annotations

import copy
from typing import cast

import attr
import jsonpatch
from fastapi import Request, Response
from fastapi.concurrency import run_in_threadpool
from pydantic_core import to_json
from stac_fastapi.extensions.transaction.client import AsyncBaseTransactionsClient
from stac_fastapi.extensions.transaction.request import (
    PartialCollection,
    PartialItem,
    PatchOperation,
)
from stac_pydantic import Collection, Item, ItemCollection

from mlops_assets.discovery.client import Catalogue, caller, request_in
from mlops_assets.discovery.errors import MAX_BODY
from mlops_assets.discovery.links import GEOJSON, JSON, without_structural_links
from mlops_assets.discovery.requests import MAX_ID_BYTES
from mlops_assets.errors import Conflict, SpecificationError
from mlops_assets.registry import Registry
from mlops_assets.registry.records import external
from mlops_assets.registry.records.lookup import FoundRecord
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.text.strict_json import parse_json

MAX_OPERATIONS = 1_000  # of a JSON patch


@attr.s(kw_only=True)
class TransactionsClient(AsyncBaseTransactionsClient):
    """Answers requests that write; each is one transaction of the registry."""

    catalogue: Catalogue = attr.ib()

    async def create_item(
        self, collection_id: str, item: Item | ItemCollection, **given: object
    ) -> Response:
        """Add an Item, or all Items of an ItemCollection."""
        request = request_in(given)
        document = await _body(request)
        several = document.get("type") == "FeatureCollection"
        features = document.get("features") if several else [document]
        items = [
            _item(feature, collection_id)
            for feature in (features if isinstance(features, list) else [])
            if isinstance(feature, dict)
        ]
        await run_in_threadpool(
            external.send_items, self._registry(request), collection_id, items, False
        )
        if several:
            return Response(status_code=201)
        return self._item(request, items[0], 201)

    async def update_item(
        self, collection_id: str, item_id: str, item: Item, **given: object
    ) -> Response:
        """Replace an Item."""
        request = request_in(given)
        return await self._replace_item(request, collection_id, item_id, await _body(request))

    async def patch_item(
        self,
        collection_id: str,
        item_id: str,
        patch: PartialItem | list[PatchOperation],
        **given: object,
    ) -> Response:
        """Change an Item by a merge patch (RFC 7396) or a JSON patch (RFC 6902)."""
        request = request_in(given)
        body = await _json(request)

        def change(document: JsonObject) -> JsonObject:
            changed = _patched(document, body)
            Item.model_validate(changed)
            item = _item(changed, collection_id)
            _require_id(item, item_id)
            return item

        item = await run_in_threadpool(
            external.change_record, self._registry(request), collection_id, item_id, change
        )
        return self._item(request, item, 200)

    async def delete_item(self, item_id: str, collection_id: str, **given: object) -> Response:
        """Remove an Item."""
        registry = self._registry(request_in(given))
        await run_in_threadpool(external.withdraw_item, registry, collection_id, item_id)
        return Response(status_code=204)

    async def create_collection(self, collection: Collection, **given: object) -> Response:
        """Add a Collection."""
        request = request_in(given)
        document = _collection(await _body(request))
        await run_in_threadpool(external.send_collection, self._registry(request), document, False)
        return self._collection(request, document, 201)

    async def update_collection(
        self, collection_id: str, collection: Collection, **given: object
    ) -> Response:
        """Replace a Collection."""
        request = request_in(given)
        return await self._replace_collection(request, collection_id, await _body(request))

    async def patch_collection(
        self,
        collection_id: str,
        patch: PartialCollection | list[PatchOperation],
        **given: object,
    ) -> Response:
        """Change a Collection by a merge patch (RFC 7396) or a JSON patch (RFC 6902)."""
        request = request_in(given)
        body = await _json(request)

        def change(document: JsonObject) -> JsonObject:
            changed = _patched(document, body)
            Collection.model_validate(changed)
            collection = _collection(changed)
            _require_id(collection, collection_id)
            return collection

        collection = await run_in_threadpool(
            external.change_record,
            self._registry(request),
            collection_id,
            external.OF_THE_COLLECTION,
            change,
        )
        return self._collection(request, collection, 200)

    async def delete_collection(self, collection_id: str, **given: object) -> Response:
        """Remove a Collection with its Items."""
        registry = self._registry(request_in(given))
        await run_in_threadpool(external.withdraw_collection, registry, collection_id)
        return Response(status_code=204)

    def _registry(self, request: Request) -> Registry:
        return self.catalogue.registry.acting(caller(request))

    async def _replace_item(
        self, request: Request, collection_id: str, item_id: str, document: JsonObject
    ) -> Response:
        item = _item(document, collection_id)
        _require_id(item, item_id)
        await run_in_threadpool(
            external.send_items, self._registry(request), collection_id, [item], True
        )
        return self._item(request, item, 200)

    async def _replace_collection(
        self, request: Request, collection_id: str, document: JsonObject
    ) -> Response:
        collection = _collection(document)
        _require_id(collection, collection_id)
        await run_in_threadpool(external.send_collection, self._registry(request), collection, True)
        return self._collection(request, collection, 200)

    def _item(self, request: Request, item: JsonObject, status: int) -> Response:
        linked = self.catalogue.addresses(request).linked_item(FoundRecord(item, None))
        return _written(linked, GEOJSON, status)

    def _collection(self, request: Request, document: JsonObject, status: int) -> Response:
        linked = self.catalogue.addresses(request).linked_collection(FoundRecord(document, None))
        return _written(linked, JSON, status)


def _written(document: JsonObject, media: str, status: int) -> Response:
    links = cast(list[JsonObject], document["links"])
    own = next(each["href"] for each in links if each["rel"] == "self")
    return Response(
        to_json(document), status, {"Location": str(own)} if status == 201 else None, media
    )


async def _body(request: Request) -> JsonObject:
    document = await _json(request)
    if not isinstance(document, dict):
        raise SpecificationError("the body is not a JSON object")
    return document


async def _json(request: Request) -> Json:
    """Return the body of a request, as both databases keep it.

    Raises:
        SpecificationError: it has values that one of them would not keep.
    """
    content = await request.body()
    try:
        return await run_in_threadpool(parse_json, content)
    except ValueError as error:
        raise SpecificationError(f"the body is not valid JSON: {error}") from error


def _item(document: JsonObject, collection: str) -> JsonObject:
    """Return an Item as it is kept.

    Raises:
        SpecificationError: its id cannot be used, or it is of another Collection.
    """
    _check_id("Item", document.get("id"))
    if document.get("collection", collection) != collection:
        raise SpecificationError(
            f"Item {document['id']!r} is of Collection {document['collection']!r}; send it there"
        )
    return without_structural_links({**document, "collection": collection})


def _collection(document: JsonObject) -> JsonObject:
    _check_id("Collection", document.get("id"))
    return without_structural_links(document)


def _check_id(kind: str, name: Json | None) -> None:
    """Check an id.

    Raises:
        SpecificationError: it cannot be part of a URL, or is too long for the database.
    """
    if (
        not isinstance(name, str)
        or not name.strip()
        or not name.isprintable()
        or "/" in name
        or "," in name
        or name in (".", "..")
        or len(name.encode()) > MAX_ID_BYTES
    ):
        raise SpecificationError(
            f"the id of the {kind}, {str(name)[:40]!r}, cannot be used: take up to {MAX_ID_BYTES}"
            " bytes of printable characters without slashes and commas"
        )


def _require_id(document: JsonObject, name: str) -> None:
    if document["id"] != name:
        raise SpecificationError(
            f"the body has the id {document['id']!r}, the URL {name!r}: an id does not change"
        )


def _patched(document: JsonObject, patch: Json) -> JsonObject:
    """Return a document changed by a patch.

    Raises:
        Conflict: a test of the patch fails.
        SpecificationError: it cannot be applied, or makes the document too large.
    """
    if not isinstance(patch, list):
        merged = _merged(document, patch)
        return merged if isinstance(merged, dict) else {}
    if len(patch) > MAX_OPERATIONS:
        raise SpecificationError(f"a patch can have {MAX_OPERATIONS} operations; send several")
    changed: JsonObject = copy.deepcopy(document)
    try:
        for operation in patch:
            if not isinstance(operation, dict):
                raise SpecificationError("a JSON patch is a list of objects")
            changed = jsonpatch.apply_patch(changed, [operation], in_place=True)
            if operation.get("op") == "copy":  # each may double it
                _check_size(changed)
    except jsonpatch.JsonPatchTestFailed as error:
        raise Conflict(f"the record is not as the patch expects: {error}") from error
    except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
        raise SpecificationError(f"the patch cannot be applied: {error}") from error
    return changed


def _check_size(document: JsonObject) -> None:
    if len(to_json(document)) > MAX_BODY:
        raise SpecificationError(f"the patched record would be larger than {MAX_BODY} bytes")


def _merged(target: Json, patch: Json) -> Json:
    """Return a value changed by a merge patch, as RFC 7396 has it."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), value)
    return found
