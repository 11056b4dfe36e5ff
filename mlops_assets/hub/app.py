"""The hub as one ASGI app."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import dagster as dg
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Mount, Route

from mlops_assets import __version__
from mlops_assets.components.project.definitions import load_definitions, models_of
from mlops_assets.discovery.app import PREFIX, create_stac_app
from mlops_assets.errors import MlopsError
from mlops_assets.hub.context import Hub
from mlops_assets.hub.external.publisher import Finisher, Job, publish_apart
from mlops_assets.hub.external.routes import MAX_FILE, ExternalState
from mlops_assets.hub.external.runs import API, ExternalRuns
from mlops_assets.hub.operations.requests import Requests
from mlops_assets.hub.operations.routes import Operations, operations_of
from mlops_assets.hub.orchestration.launcher import Launcher, NoLauncher
from mlops_assets.hub.pages import registered  # noqa: F401
from mlops_assets.hub.pages.serving import serve_pages
from mlops_assets.hub.rest.errors import (
    NoRoute,
    report_error,
    report_http_exception,
    report_invalid_parameters,
    report_unexpected_error,
)
from mlops_assets.hub.rest.openapi import DocumentedApp, any_problem
from mlops_assets.hub.rest.routers import ROUTERS
from mlops_assets.hub.sign_in import page_template
from mlops_assets.hub.sign_in.authentication import Authentication, Entrance
from mlops_assets.hub.sign_in.headers import SecurityHeaders
from mlops_assets.hub.sign_in.open_pages import guard_sockets
from mlops_assets.hub.sign_in.people import people_of
from mlops_assets.hub.sign_in.requests import API as ALL_APIS
from mlops_assets.hub.sign_in.routes import router as sign_in_router
from mlops_assets.hub.tiles import tile_origin
from mlops_assets.identity.bearer import Bearers, checked_bearers
from mlops_assets.identity.declaration import Identity
from mlops_assets.identity.gateway import Gateway
from mlops_assets.identity.issuer import Issuer
from mlops_assets.integrations.git_webhooks.declaration import DeclaredGitWebhooks
from mlops_assets.principals import Principal
from mlops_assets.settings import project_module
from mlops_assets.stac.found_records import add_published
from mlops_assets.store import Store

# acts where no caller does, and may do nothing; sees the records that are published
ANONYMOUS = Principal("anonymous", frozenset())


@dataclass(frozen=True)
class HubSettings:
    """Settings of the hub.

    Attributes:
        dagster_home: of the Dagster instance to which runs are reported.
        token: token that callers may share; each may have a token of the registry, or one of an
            issuer.
        identity: the issuer whose tokens are accepted.
        module: definitions of the project whose models are declared; those of the current folder if
            not given.
        definitions: of the module, if they are loaded, which takes seconds.
        base_url: URL under which callers reach the app, for links; without it they are relative to
            the server.
        files_url: URL under which callers of the STAC API reach the files of the workspace; its own
            URL if not given.
        max_file: bytes of an uploaded file at most.
        local: the only user, who needs no sign-in; None if callers authenticate.
        gateway: that has authenticated people before they reach the hub.
        git_webhooks: that git servers may call; None if there are none.
    """

    dagster_home: Path
    token: str | None = field(default=None, repr=False)
    identity: Identity | None = None
    module: str | None = None
    definitions: dg.Definitions | None = field(default=None, repr=False)
    base_url: str | None = None
    files_url: str | None = None
    max_file: int = MAX_FILE
    local: Principal | None = None
    gateway: Gateway | None = None
    git_webhooks: DeclaredGitWebhooks | None = None


def create_hub(store: Store, settings: HubSettings, launcher: Launcher) -> FastAPI:
    """Return the hub as it is served: the app of `create_app`, and the pages for the browser.

    One process has one hub, as NiceGUI's pages are global.

    Args:
        store: workspace and registry.
        settings: settings of the server.
        launcher: launches what buttons start.
    """
    app = create_app(store, settings, launcher=launcher, pages=True)
    page_template.install()
    guard_sockets(app.state.hub.sessions)
    serve_pages(app, app.state.hub)
    return app


def create_app(
    store: Store,
    settings: HubSettings,
    publish: Callable[[Job], None] = publish_apart,
    launcher: Launcher | None = None,
    pages: bool = False,
) -> FastAPI:
    """Return the app.

    Args:
        store: workspace and registry in which runs are recorded.
        settings: settings of the server.
        publish: publishes an uploaded model; in a process of its own if not given.
        launcher: launches runs; without one those routes respond that Dagster is out of reach.
        pages: whether it gets pages, for which people sign in.

    Returns:
        The API below `/api/v1` with its OpenAPI document, `/api/v1/openapi.json`, and the STAC API
        below `/stac`.

    Raises:
        SettingsError: no caller could authenticate, the shared token can be guessed, or sign-in
            cannot work.
        NotFound: the project cannot be loaded.
    """
    entrance = _entrance(store, settings, pages)
    finisher = Finisher(publish)
    operations = operations_of(store, launcher)
    app = _empty_app(settings, entrance, finisher, operations)
    module = settings.module or project_module()
    definitions = settings.definitions or load_definitions(module)
    declared = models_of(definitions)
    anonymous = store.acting(ANONYMOUS)
    people = entrance.people
    app.state.people = people
    app.state.hub = Hub(
        anonymous,
        declared,
        module,
        settings.dagster_home,
        launcher or NoLauncher(),
        definitions,
        settings.local,
        people.sessions if people else None,
        settings.git_webhooks,
    )
    app.state.external = ExternalState(
        ExternalRuns(
            store=anonymous,
            uploads=store.workspace.cache / "external",
            dagster_home=settings.dagster_home,
            models=declared,
            finisher=finisher,
            base_url=settings.base_url or "",
        ),
        settings.max_file,
    )
    app.router.routes += operations.routes()
    _add_routes(app)
    _add_stac(app, store, settings)
    app.openapi()  # evaluates annotations of routes and models, which no request should
    return app


def _entrance(store: Store, settings: HubSettings, pages: bool) -> Entrance:
    """Return how callers authenticate.

    Raises:
        SettingsError: no caller could, the shared token can be guessed, or sign-in cannot work.
    """
    issuer = Issuer(settings.identity) if settings.identity else None
    bearers = Bearers(store.registry, settings.token, issuer)
    people = None
    if pages and settings.local is None:
        people = people_of(
            store.registry, settings.base_url, settings.identity, settings.gateway, issuer
        )
    if settings.local is None and people is None:
        checked_bearers(bearers)
    return Entrance(bearers, ANONYMOUS, people, settings.local, pages)


def _empty_app(
    settings: HubSettings, entrance: Entrance, finisher: Finisher, operations: Operations
) -> DocumentedApp:
    """Return the app without routes: its middleware, and its responses to errors."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        finisher.close()
        operations.readiness.close()

    return DocumentedApp(
        title="mlops_assets",
        version=__version__,
        description=(
            "External training runs: start, metrics, model, publication. Decisions on model"
            " versions: approval, promotion."
        ),
        openapi_url=f"{API}/openapi.json",
        # those pages load scripts from other hosts
        docs_url=None,
        redoc_url=None,
        # else '/runs/' redirects to whatever host the caller has named
        redirect_slashes=False,
        servers=[{"url": settings.base_url}] if settings.base_url else None,
        middleware=[
            Middleware(Requests, count=operations.metrics.count),
            Middleware(
                SecurityHeaders,
                https=(settings.base_url or "").startswith("https:"),
                tiles=tile_origin(),
            ),
            Middleware(Authentication, entrance=entrance),
        ],
        exception_handlers={
            MlopsError: report_error,
            HTTPException: report_http_exception,
            RequestValidationError: report_invalid_parameters,
            Exception: report_unexpected_error,
        },
        lifespan=lifespan,
    )


def _add_routes(app: FastAPI) -> None:
    """Add the routes of the API, and those for signing in and out."""
    for each in ROUTERS:
        app.include_router(each, prefix=API, responses=any_problem())
    app.router.routes.append(Route(f"{ALL_APIS}/{{path:path}}", NoRoute()))
    app.include_router(sign_in_router)


def _add_stac(app: FastAPI, store: Store, settings: HubSettings) -> None:
    """Add the STAC API, with records of everything that is published."""
    add_published(store.workspace, store.registry)
    stac = create_stac_app(store, settings.base_url, settings.files_url)
    below = Mount(PREFIX, stac)
    # ids of any characters are answered there; "." alone matches no newline
    below.path_regex = re.compile(below.path_regex.pattern, re.DOTALL)
    app.router.routes += [below, Route(PREFIX, stac)]
