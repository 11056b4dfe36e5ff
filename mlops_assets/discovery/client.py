"""Reading through the STAC API: Collections, Items and search, with links on everything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar, cast
from urllib.parse import urlencode

import attr
from fastapi import Request, Response
from pydantic_core import to_json
from stac_fastapi.extensions.filter.client import BaseFiltersClient
from stac_fastapi.extensions.sort.client import BaseSortablesClient
from stac_fastapi.types import stac
from stac_fastapi.types.core import BaseCoreClient
from stac_fastapi.types.search import BaseSearchPostRequest

from mlops_assets.discovery import queryables
from mlops_assets.discovery.links import GEOJSON, JSON, QUERYABLES, SORTABLES, Addresses, link
from mlops_assets.discovery.requests import (
    OF_COLLECTIONS,
    OF_ITEMS,
    OF_SEARCH,
    SearchParameters,
    chosen_fields,
    require_known,
    token_of,
)
from mlops_assets.errors import SpecificationError
from mlops_assets.principals import Principal
from mlops_assets.registry import Registry
from mlops_assets.registry.records.lookup import (
    find_collection,
    find_item,
    list_collections,
    property_names,
)
from mlops_assets.registry.records.search import search_items
from mlops_assets.text.json_values import Json, JsonObject

OPENAPI = "application/vnd.oai.openapi+json;version=3.0"
SCHEMA = "application/schema+json"
MAX_COLLECTIONS = 1_000  # of a page
T = TypeVar("T")


@attr.s(auto_attribs=True, frozen=True)
class Catalogue:
    """The records that the API serves.

    Attributes:
        registry: has them; acts for the API, which itself decides what a caller sees.
        workspace: URL with which the addresses of its files begin.
    """

    registry: Registry
    workspace: str

    def addresses(self, request: Request) -> Addresses:
        """Return the addresses of records for a caller."""
        return Addresses(str(request.base_url), self.workspace)


def caller(request: Request) -> Principal:
    """Return the principal of a request."""
    principal: Principal = request.state.principal
    return principal


@attr.s(kw_only=True)
class RecordsClient(BaseCoreClient):
    """Answers requests that read."""

    catalogue: Catalogue = attr.ib()

    def landing_page(self, **given: object) -> stac.LandingPage:
        """Return the landing page."""
        request = request_in(given)
        api = str(request.base_url)
        page = self._landing_page(api, self.conformance_classes(), [])
        found = list_collections(self.catalogue.registry, caller(request), MAX_COLLECTIONS)
        addresses = self.catalogue.addresses(request)
        links = [
            link("service-desc", f"{api}api", OPENAPI, title="OpenAPI"),
            link("service-doc", f"{api}api.html", "text/html", title="Requests"),
            link(QUERYABLES, f"{api}queryables", SCHEMA, title="Queryables"),
            link(SORTABLES, f"{api}sortables", SCHEMA, title="Sortables"),
            *(
                link(
                    "child",
                    addresses.collection(str(record.document["id"])),
                    JSON,
                    title=record.document.get("title") or record.document["id"],
                )
                for record in found.records
            ),
        ]
        return _response(stac.LandingPage, {**page, "links": [*page["links"], *links]}, JSON)

    def all_collections(self, **given: object) -> stac.Collections:
        """Return a page of the Collections."""
        request = request_in(given)
        require_known(request.query_params, OF_COLLECTIONS)
        addresses = self.catalogue.addresses(request)
        limit = given.get("limit")
        size = min(limit if isinstance(limit, int) else MAX_COLLECTIONS, MAX_COLLECTIONS)
        token = _text(given, "token")
        page = list_collections(self.catalogue.registry, caller(request), size, token)
        own = f"{addresses.api}collections"
        links = [link("self", own, JSON), link("root", addresses.api, JSON)]
        if page.after is not None:
            query = urlencode({"limit": size, "token": page.after[0]})
            links.append(link("next", f"{own}?{query}", JSON, method="GET"))
        collections = [addresses.linked_collection(record) for record in page.records]
        return _response(
            stac.Collections,
            {
                "collections": collections,
                "links": links,
                "numberReturned": len(collections),
                "numberMatched": page.matched,
            },
            JSON,
        )

    def get_collection(self, collection_id: str, **given: object) -> stac.Collection:
        """Return a Collection."""
        request = request_in(given)
        found = find_collection(self.catalogue.registry, collection_id, caller(request))
        return _response(
            stac.Collection, self.catalogue.addresses(request).linked_collection(found), JSON
        )

    def get_item(self, item_id: str, collection_id: str, **given: object) -> stac.Item:
        """Return an Item."""
        request = request_in(given)
        found = find_item(self.catalogue.registry, collection_id, item_id, caller(request))
        return _response(stac.Item, self.catalogue.addresses(request).linked_item(found), GEOJSON)

    def item_collection(
        self,
        collection_id: str,
        bbox: Sequence[float] | None = None,
        datetime: str | None = None,
        limit: int | None = 10,
        token: str | None = None,
        **given: object,
    ) -> stac.ItemCollection:
        """Return a page of a Collection's Items."""
        request = request_in(given)
        require_known(request.query_params, OF_ITEMS)
        find_collection(self.catalogue.registry, collection_id, caller(request))
        parameters = SearchParameters(
            collections=[collection_id],
            bbox=bbox,
            datetime=datetime,
            limit=limit,
            token=token,
        )
        own = f"{self.catalogue.addresses(request).collection(collection_id)}/items"
        return self._found(
            request, _extended(parameters, given), own, _split_fields(_texts(given, "fields"))
        )

    def get_search(
        self,
        collections: list[str] | None = None,
        ids: list[str] | None = None,
        bbox: Sequence[float] | None = None,
        intersects: object = None,
        datetime: str | None = None,
        limit: int | None = 10,
        **given: object,
    ) -> stac.ItemCollection:
        """Return a page of the Items that are searched for."""
        request = request_in(given)
        require_known(request.query_params, OF_SEARCH)
        parameters = SearchParameters(
            collections=collections,
            ids=ids,
            bbox=bbox,
            intersects=intersects if isinstance(intersects, str) else None,
            datetime=datetime,
            limit=limit,
            token=_text(given, "token"),
        )
        fields = _split_fields(_texts(given, "fields"))
        return self._found(
            request, _extended(parameters, given), f"{request.base_url}search", fields
        )

    def post_search(
        self, search_request: BaseSearchPostRequest, **given: object
    ) -> stac.ItemCollection:
        """Return a page of the Items that are searched for."""
        request = request_in(given)
        body = search_request.model_dump(mode="json", exclude_unset=True)
        parameters = SearchParameters(
            collections=body.get("collections"),
            ids=body.get("ids"),
            bbox=search_request.bbox,
            intersects=body.get("intersects"),
            datetime=body.get("datetime"),
            limit=search_request.limit,
            where=body.get("filter_expr"),
            language=body.get("filter_lang"),
            crs=body.get("filter_crs"),
            words=body.get("q"),
            order=[
                f"{'-' if key['direction'] == 'desc' else '+'}{key['field']}"
                for key in body.get("sortby") or []
            ],
            token=body.get("token"),
        )
        fields = body.get("fields") or {}
        chosen = (set(fields.get("include") or []), set(fields.get("exclude") or []))
        return self._found(request, parameters, f"{request.base_url}search", chosen)

    def _found(
        self,
        request: Request,
        parameters: SearchParameters,
        own: str,
        fields: tuple[set[str], set[str]],
    ) -> stac.ItemCollection:
        query = parameters.query()
        page = search_items(self.catalogue.registry, query, caller(request))
        token = None if page.after is None else token_of(query, page.after)
        addresses = self.catalogue.addresses(request)
        items = [addresses.linked_item(record) for record in page.records]
        if any(fields):
            items = [chosen_fields(item, *fields) for item in items]
        document: JsonObject = {
            "type": "FeatureCollection",
            "features": list(items),
            "links": _page_links(request, own, token),
            "numberReturned": len(items),
        }
        if page.matched is not None:
            document["numberMatched"] = page.matched
        return _response(stac.ItemCollection, document, GEOJSON)


def _page_links(request: Request, own: str, token: str | None) -> list[Json]:
    api = str(request.base_url)
    sent = request.url.query
    links: list[Json] = [
        link("self", f"{own}?{sent}" if sent else own, GEOJSON),
        link("root", api, JSON),
    ]
    if token is None:
        return links
    if request.method == "POST":
        body: JsonObject = {"token": token}
        return [*links, link("next", own, GEOJSON, method="POST", body=body, merge=True)]
    others = [pair for pair in request.query_params.multi_items() if pair[0] != "token"]
    query = urlencode([*others, ("token", token)])
    return [*links, link("next", f"{own}?{query}", GEOJSON, method="GET")]


@attr.s(kw_only=True)
class QueryablesClient(BaseFiltersClient):
    """Answers which properties filters can name."""

    catalogue: Catalogue = attr.ib()

    def get_queryables(self, collection_id: str | None = None, **given: object) -> JsonObject:
        """Return the properties of all Items, or of a Collection's."""
        request = request_in(given)
        if collection_id is None:
            return queryables.schema(f"{request.base_url}queryables", "Queryables")
        own = self.catalogue.addresses(request).collection(collection_id)
        found = _found_properties(self.catalogue, collection_id, caller(request))
        return queryables.schema(f"{own}/queryables", f"Queryables of {collection_id}", found)


@attr.s(kw_only=True)
class SortablesClient(BaseSortablesClient):
    """Answers which properties Items can be sorted by."""

    catalogue: Catalogue = attr.ib()

    def get_sortables(self, request: Request | None = None, **given: object) -> JsonObject:
        """Return the properties of all Items."""
        request = request_in({"request": request})
        return queryables.sortables(f"{request.base_url}sortables", "Sortables")

    def get_collection_sortables(
        self, collection_id: str, request: Request | None = None, **given: object
    ) -> JsonObject:
        """Return the properties of a Collection's Items."""
        request = request_in({"request": request})
        own = self.catalogue.addresses(request).collection(collection_id)
        found = _found_properties(self.catalogue, collection_id, caller(request))
        return queryables.sortables(f"{own}/sortables", f"Sortables of {collection_id}", found)

    def get_collections_sortables(
        self, request: Request | None = None, **given: object
    ) -> JsonObject:
        """Return the properties that Collections can be sorted by: none, they are in one order."""
        request = request_in({"request": request})
        url = f"{request.base_url}collections-sortables"
        return {**queryables.schema(url, "Sortables", {}), "properties": {}}


def _found_properties(
    catalogue: Catalogue, collection: str, principal: Principal
) -> dict[str, Json]:
    find_collection(catalogue.registry, collection, principal)
    return property_names(catalogue.registry, collection, principal)


def _extended(parameters: SearchParameters, given: dict[str, object]) -> SearchParameters:
    """Return the parameters of a GET request with those of extensions."""
    return replace(
        parameters,
        where=_text(given, "filter_expr"),
        language=_text(given, "filter_lang"),
        crs=_text(given, "filter_crs"),
        words=_texts(given, "q"),
        order=_texts(given, "sortby"),
    )


def _split_fields(fields: list[str] | None) -> tuple[set[str], set[str]]:
    names = [name.strip() for name in fields or []]
    excluded = {name[1:] for name in names if name.startswith("-")}
    return {name.lstrip("+") for name in names if name and not name.startswith("-")}, excluded


def _text(given: dict[str, object], name: str) -> str | None:
    value = given.get(name)
    return value if isinstance(value, str) else None


def _texts(given: dict[str, object], name: str) -> list[str] | None:
    value = given.get(name)
    return [str(each) for each in value] if isinstance(value, list) else None


def request_in(given: dict[str, object]) -> Request:
    """Return the request among the arguments that stac-fastapi passes.

    Raises:
        SpecificationError: there is none.
    """
    request = given.get("request")
    if not isinstance(request, Request):
        raise SpecificationError("this is served over HTTP only")
    return request


def _response(kind: type[T], document: object, media: str) -> T:
    """Return a document as a response, which stac-fastapi passes on; its types do not say so."""
    return cast(T, Response(to_json(document), media_type=media))
