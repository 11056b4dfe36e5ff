"""The hub as one ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware

from mlops_assets.components.launching import models_of_project
from mlops_assets.errors import MlopsError
from mlops_assets.hub.authentication import BearerToken, checked_token
from mlops_assets.hub.finishing import Finisher, Job, publish_apart
from mlops_assets.hub.problems import told, told_by_starlette, told_without_details
from mlops_assets.hub.runs import LARGEST_FILE, RunsApi
from mlops_assets.settings import project_module
from mlops_assets.training.store import Store


def create_app(
    store: Store,
    dagster_home: Path,
    token: str | None,
    module: str | None = None,
    largest_file: int = LARGEST_FILE,
    publish: Callable[[Job], None] = publish_apart,
    base_url: str | None = None,
) -> Starlette:
    """Return the app.

    Args:
        store: where runs are recorded.
        dagster_home: of the instance that is told of them.
        token: what callers must show.
        module: definitions of the project whose models are declared; those of the current folder if not given.
        largest_file: bytes of a file that callers may send.
        publish: publishes what was sent; in a process of its own if not given.
        base_url: where callers reach the app, for links; without it they are relative to the server.

    Raises:
        SettingsError: there is no token, or it can be guessed.
        NotFound: the project cannot be loaded.
    """
    shown = checked_token(token)
    finisher = Finisher(publish)
    api = RunsApi(
        store=store,
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
        middleware=[Middleware(BearerToken, token=shown)],
        exception_handlers={
            MlopsError: told,
            HTTPException: told_by_starlette,
            Exception: told_without_details,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # else '/runs/' leads to whatever host the caller has named
    return app
