"""The server of models as one ASGI app."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp

from mlops_assets.identity.bearer import Bearers
from mlops_assets.serving.authentication import Authentication, SignIn
from mlops_assets.serving.bodies import DEFAULT_LIMIT, Bodies
from mlops_assets.serving.errors import HANDLERS, UnexpectedErrors
from mlops_assets.serving.inference import Inference
from mlops_assets.serving.metrics import ServerMetrics
from mlops_assets.serving.routes import metadata
from mlops_assets.serving.routes import repository as administration
from mlops_assets.serving.routes.infer import InferEndpoint
from mlops_assets.serving.routes.state import ServerState
from mlops_assets.serving.sessions.interface import Repository, RequestLogger
from mlops_assets.serving.visible_versions import VisibleVersions
from mlops_assets.serving.workers import Workers
from mlops_assets.store import Store

# large bodies that are held in memory together, in bodies of the largest size
BODIES_AT_ONCE = 4


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server of models.

    Attributes:
        bearers: tokens that are accepted; None where everyone is the user of the store, which is
            only for a server that listens to this machine alone.
        threads: requests that are answered at the same time.
        queue: requests that wait for that, at most.
        max_body: bytes of a request at most.
        finite: whether NaN and infinities in binary tensors are refused; JSON has none.
        extra_routes: paths of other parts.
    """

    bearers: Bearers | None = None
    threads: int = 2
    queue: int = 64
    max_body: int = DEFAULT_LIMIT
    finite: bool = False
    extra_routes: Sequence[BaseRoute] = ()


def create_server_app(
    store: Store,
    repository: Repository,
    logger: RequestLogger | None,
    settings: ServerSettings,
) -> ASGIApp:
    """Return the app.

    Args:
        store: workspace and registry, acting for the local user.
        repository: models that are served.
        logger: of requests; None for none. It is closed with the server.
        settings: settings of the server.
    """
    workers = Workers(settings.threads, settings.queue)
    visible = VisibleVersions(store.registry)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        workers.close()
        if logger is not None:
            logger.close()

    app = Starlette(
        routes=[*_routes(), *settings.extra_routes],
        middleware=[
            Middleware(UnexpectedErrors),
            Middleware(Authentication, sign_in=SignIn(settings.bearers, store.registry.principal)),
        ],
        exception_handlers=HANDLERS,
        lifespan=lifespan,
    )
    # else '/v2/' redirects to whatever host the caller has named
    app.router.redirect_slashes = False
    app.state.server = ServerState(
        store=store,
        repository=repository,
        inference=Inference(repository, logger, visible, settings.finite),
        visible=visible,
        bodies=Bodies(settings.max_body, BODIES_AT_ONCE * settings.max_body),
        workers=workers,
        metrics=ServerMetrics(repository, logger, workers),
    )
    return app


def _routes() -> list[BaseRoute]:
    """Return the paths of the protocol, most used first."""
    of_model = ("/v2/models/{model}", "/v2/models/{model}/versions/{version}")
    return [
        *(Route(f"{path}/infer", InferEndpoint(), methods=["POST"]) for path in of_model),
        *(Route(f"{path}/ready", metadata.model_ready) for path in of_model),
        *(Route(path, metadata.model_metadata) for path in of_model),
        Route("/v2/health/live", metadata.live),
        Route("/v2/health/ready", metadata.ready),
        Route("/v2", metadata.server_metadata),
        Route("/v2/", metadata.server_metadata),
        Route("/v2/repository/index", administration.index, methods=["POST"]),
        Route("/v2/repository/models/{model}/load", administration.load, methods=["POST"]),
        Route("/v2/repository/models/{model}/unload", administration.unload, methods=["POST"]),
        Route("/metrics", metadata.metrics),
    ]
