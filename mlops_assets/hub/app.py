"""The hub as one ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from mlops_assets.components.project.launch import models_of_project
from mlops_assets.errors import MlopsError
from mlops_assets.hub.authentication import BearerToken, checked_bearers
from mlops_assets.hub.errors import told, told_by_starlette, told_without_details
from mlops_assets.hub.publisher import Finisher, Job, publish_apart
from mlops_assets.hub.runs import MAX_FILE, RunsApi
from mlops_assets.identity.bearer import Bearers
from mlops_assets.identity.declaration import Identity
from mlops_assets.identity.issuer import Issuer
from mlops_assets.principals import Principal
from mlops_assets.settings import project_module
from mlops_assets.store import Store

NOBODY = Principal("nobody", frozenset())  # acts where no caller does, and may do nothing


def create_app(
    store: Store,
    dagster_home: Path,
    token: str | None,
    module: str | None = None,
    largest_file: int = MAX_FILE,
    publish: Callable[[Job], None] = publish_apart,
    base_url: str | None = None,
    identity: Identity | None = None,
) -> Starlette:
    """Return the app.

    Args:
        store: where runs are recorded.
        dagster_home: of the instance that is told of them.
        token: what callers may share; each may have a token of the registry, or one of an issuer.
        module: definitions of the project whose models are declared; those of the current folder if
            not given.
        largest_file: bytes of a file that callers may send.
        publish: publishes what was sent; in a process of its own if not given.
        base_url: where callers reach the app, for links; without it they are relative to the
            server.
        identity: the issuer whose tokens are accepted.

    Raises:
        SettingsError: nobody could call the API, or the token can be guessed.
        NotFound: the project cannot be loaded.
    """
    bearers = checked_bearers(
        Bearers(store.registry, token, Issuer(identity) if identity else None)
    )
    finisher = Finisher(publish)
    api = RunsApi(
        store=store.acting(NOBODY),
        staged=store.workspace.cache / "external",
        dagster_home=dagster_home,
        models=models_of_project(module or project_module()),
        finisher=finisher,
        largest_file=largest_file,
        base_url=base_url or "",
    )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        finisher.close()

    app = Starlette(
        routes=api.routes(),
        middleware=[Middleware(BearerToken, bearers=bearers)],
        exception_handlers={
            MlopsError: told,
            HTTPException: told_by_starlette,
            Exception: told_without_details,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # else '/runs/' leads to whatever host the caller has named
    return app
