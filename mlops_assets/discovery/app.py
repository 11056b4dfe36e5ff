"""The STAC API as an ASGI app, which the hub serves at `/stac`.

Callers are authenticated by the hub. Whoever has no token sees what is published.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Annotated, Literal, cast
from urllib.parse import urlsplit

import attr
from fastapi import FastAPI, Query
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, JsonValue, model_validator
from stac_fastapi.api.app import StacApi
from stac_fastapi.api.models import (
    ItemCollectionUri,
    create_get_request_model,
    create_post_request_model,
    create_request_model,
)
from stac_fastapi.extensions import (
    FieldsExtension,
    FilterExtension,
    FreeTextExtension,
    SortExtension,
    TokenPaginationExtension,
    TransactionExtension,
)
from stac_fastapi.extensions.fields import FieldsConformanceClasses
from stac_fastapi.extensions.filter import FilterConformanceClasses
from stac_fastapi.extensions.free_text import FreeTextConformanceClasses
from stac_fastapi.extensions.sort import SortConformanceClasses
from stac_fastapi.types.config import ApiSettings
from stac_fastapi.types.extension import ApiExtension
from stac_fastapi.types.search import APIRequest, BaseSearchPostRequest, Limit
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_assets import __version__
from mlops_assets.datasets.versions.manifest import STAC_VERSION
from mlops_assets.discovery.client import (
    Catalogue,
    QueryablesClient,
    RecordsClient,
    SortablesClient,
)
from mlops_assets.discovery.errors import HANDLERS, LimitedBody, report_invalid_request
from mlops_assets.discovery.requests import OF_SEARCH, require_known
from mlops_assets.discovery.transactions import TransactionsClient
from mlops_assets.principals import Principal, Role
from mlops_assets.store import Store

PREFIX = "/stac"
# reads for the API, which decides what callers see
_READER = Principal("stac-api", frozenset({Role.VIEWER}))
# by which pystac-client recognises what version 1.1 of the extension has, too
_SORT_1_0 = (
    "https://api.stacspec.org/v1.0.0/item-search#sort",
    "https://api.stacspec.org/v1.0.0/ogcapi-features#sort",
)
MAX_SECONDS = 30  # for which a request may keep the database busy
_TITLE = "mlops_assets"
_DESCRIPTION = "Training data and models of this workspace."


class FilterBody(BaseModel):
    """The filter of a POST request: CQL2 JSON, or CQL2 text."""

    filter_expr: dict[str, JsonValue] | str | None = Field(default=None, alias="filter")
    filter_crs: str | None = Field(default=None, alias="filter-crs")
    filter_lang: Literal["cql2-json", "cql2-text"] | None = Field(default=None, alias="filter-lang")


class SearchBody(BaseSearchPostRequest):
    """The body of a POST request, whose own checks expect an object."""

    @model_validator(mode="before")
    @classmethod
    def require_object(cls, value: object) -> object:
        """Check that it is a JSON object of known parameters."""
        if not isinstance(value, dict):
            raise ValueError("the body is not a JSON object, sent as application/json")
        require_known(value, OF_SEARCH)
        if "fields" in value and not isinstance(value["fields"], dict):
            raise ValueError("fields is not an object with include and exclude")
        return value


class _FilterExtension(FilterExtension):
    """The filter extension, whose POST requests may have CQL2 text."""

    POST: type[BaseModel] = FilterBody


def create_stac_app(
    store: Store, public_url: str | None = None, files_url: str | None = None
) -> ASGIApp:
    """Return the app, to be served at `PREFIX`.

    Args:
        store: its registry has the records.
        public_url: URL under which callers reach the server that the app is mounted in; that of
            each request if not given.
        files_url: URL under which callers reach the files of the workspace; its own if not given.

    Returns:
        An app whose requests have a `principal` in their state, at `PREFIX` and below it.
    """
    catalogue = Catalogue(
        store.registry.acting(_READER).limited(MAX_SECONDS),
        (files_url or store.workspace.url).rstrip("/"),
    )
    settings = ApiSettings(
        stac_fastapi_title=_TITLE,
        stac_fastapi_description=_DESCRIPTION,
        stac_fastapi_version=__version__,
        stac_fastapi_landing_id=_TITLE,
        openapi_url="/api",
    )
    filters = _FilterExtension(
        client=QueryablesClient(catalogue=catalogue),
        conformance_classes=[
            FilterConformanceClasses.FILTER,
            FilterConformanceClasses.SEARCH,
            FilterConformanceClasses.ITEMS,
            FilterConformanceClasses.BASIC_CQL2,
            FilterConformanceClasses.CQL2_JSON,
            FilterConformanceClasses.CQL2_TEXT,
            FilterConformanceClasses.ADVANCED_COMPARISON_OPERATORS,
            FilterConformanceClasses.CASE_INSENSITIVE_COMPARISON,
            FilterConformanceClasses.PROPERTY_PROPERTY,
            FilterConformanceClasses.ARRAY_FUNCTIONS,
        ],
    )
    of_search = [
        filters,
        SortExtension(
            client=SortablesClient(catalogue=catalogue),
            conformance_classes=[
                *_SORT_1_0,
                SortConformanceClasses.ITEM_SEARCH_SORT,
                SortConformanceClasses.ITEM_SEARCH_SORTABLES,
                SortConformanceClasses.FEATURES_SORT,
                SortConformanceClasses.FEATURES_SORTABLES,
            ],
        ),
        FieldsExtension(
            conformance_classes=[FieldsConformanceClasses.SEARCH, FieldsConformanceClasses.ITEMS]
        ),
        FreeTextExtension(
            conformance_classes=[
                FreeTextConformanceClasses.SEARCH,
                FreeTextConformanceClasses.ITEMS,
            ]
        ),
        TokenPaginationExtension(),
    ]
    transactions = TransactionExtension(
        client=TransactionsClient(catalogue=catalogue), settings=settings
    )
    api = StacApi(
        settings=settings,
        client=RecordsClient(
            catalogue=catalogue, landing_page_id=_TITLE, title=_TITLE, description=_DESCRIPTION
        ),
        extensions=[*of_search, transactions],
        exceptions={},
        stac_version=STAC_VERSION,
        title=_TITLE,
        description=_DESCRIPTION,
        app=FastAPI(
            title=_TITLE,
            version=__version__,
            description=_DESCRIPTION,
            openapi_url="/api",
            # those pages load scripts from other hosts
            docs_url=None,
            redoc_url=None,
            redirect_slashes=False,
            exception_handlers=HANDLERS,
        ),
        search_get_request_model=create_get_request_model(of_search),
        search_post_request_model=create_post_request_model(of_search, base_model=SearchBody),
        items_get_request_model=_get_model("ItemsRequest", ItemCollectionUri, of_search),
        collections_get_request_model=CollectionsRequest,
        # what browsers on other sites may send; compression is left to the proxy in front
        middlewares=[
            Middleware(LimitedBody),
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"],
                allow_headers=["Authorization", "Content-Type"],
                max_age=600,
            ),
        ],
    )
    api.app.add_api_route("/api.html", _overview(api.app), include_in_schema=False)
    # StacApi sets its own
    api.app.add_exception_handler(RequestValidationError, report_invalid_request)
    api.app.openapi()  # evaluates annotations of routes and models, which no request should
    return AtPublicUrl(api.app, public_url)


def _overview(app: FastAPI) -> Callable[[], HTMLResponse]:
    """Return the endpoint of the page that lists the requests, which loads nothing else."""

    def overview() -> HTMLResponse:
        rows = [
            f"<tr><td>{method.upper()}</td><td>{escape(path)}</td>"
            f"<td>{escape(operation.get('summary', ''))}</td></tr>"
            for path, operations in app.openapi()["paths"].items()
            for method, operation in operations.items()
        ]
        return HTMLResponse(
            f'<!doctype html><html lang="en"><head><title>{_TITLE}: STAC API</title></head><body>'
            f'<h1>STAC API</h1><p>{_DESCRIPTION} <a href="api">OpenAPI</a></p><table>'
            f"<tr><th>Method</th><th>Path</th><th>Request</th></tr>{''.join(rows)}</table></body>"
            "</html>"
        )

    return overview


def _get_model(
    name: str, base: type[APIRequest], extensions: list[ApiExtension]
) -> type[APIRequest]:
    model = create_request_model(name, base, extensions, request_type="GET")
    return cast(type[APIRequest], model)


@attr.s
class CollectionsRequest(APIRequest):
    """A page of Collections."""

    limit: Annotated[Limit | None, Query(description="Collections of a page.")] = attr.ib(
        default=None
    )
    token: Annotated[str | None, Query(description="Token of a page.")] = attr.ib(default=None)


class AtPublicUrl:
    """ASGI middleware that makes links begin with the URL under which callers reach the server."""

    def __init__(self, app: ASGIApp, public_url: str | None) -> None:
        """Serve an app below `PREFIX`."""
        self._app = app
        self._url = urlsplit(public_url) if public_url else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on as one to the public URL."""
        if scope["type"] == "http":
            # the server sends no body where HEAD was asked for
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            path = f"{PREFIX}/" if scope["path"] == PREFIX else scope["path"]
            scope = {**scope, "method": method, "path": path}
            scope |= {"root_path": PREFIX, "app_root_path": PREFIX}
            if self._url is not None:
                headers = [pair for pair in scope["headers"] if pair[0] != b"host"]
                scope |= {
                    "scheme": self._url.scheme,
                    "headers": [(b"host", self._url.netloc.encode()), *headers],
                    "app_root_path": f"{self._url.path.rstrip('/')}{PREFIX}",
                }
        await self._app(scope, receive, send)
