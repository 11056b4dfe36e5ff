"""Dagster as a hub has it: its launcher, and the code server that it needs."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
from dagster._core.workspace.load_target import WorkspaceFileTarget
from fastapi import FastAPI
from starlette.datastructures import URLPath
from starlette.routing import BaseRoute, Match, NoMatchFound
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_assets.components.project.definitions import load_definitions, models_of
from mlops_assets.components.project.home import prepare_home
from mlops_assets.hub.orchestration.dagster_launcher import DagsterLauncher
from mlops_assets.hub.orchestration.links import PREFIX
from mlops_assets.hub.orchestration.web.proxy import DagsterProxy
from mlops_assets.hub.orchestration.web.web_servers import WebServer, WebServerSettings
from mlops_assets.identity.delegation import delegation_key
from mlops_assets.orchestration.code_locations import CodeLocations
from mlops_assets.orchestration.code_server import serve_code
from mlops_assets.settings import Settings


@dataclass(frozen=True)
class DagsterService:
    """Dagster as a hub has it.

    Attributes:
        launcher: launches runs.
        pages: Dagster's own pages, as an ASGI app.
        definitions: of the project.
    """

    launcher: DagsterLauncher
    pages: DagsterProxy
    definitions: dg.Definitions

    def mount(self, app: FastAPI) -> None:
        """Serve Dagster's pages below `/dagster` of the hub."""
        # before the pages of the hub, which take all other paths
        app.router.routes.insert(0, _Below(PREFIX, self.pages))


@contextmanager
def dagster_service(
    settings: Settings, module: str, workspace: Path | None = None, alone: bool = False
) -> Iterator[DagsterService]:
    """Connect to the code servers of a project, and start one if none is given.

    Args:
        settings: name the Dagster instance.
        module: definitions of the project.
        workspace: file of Dagster that names code servers which are running; None to start one.
        alone: whether the hub has one user, who is an operator.

    Raises:
        NotFound: the project cannot be loaded.
        StorageError: the key of runs that act for others cannot be used.
    """
    home = prepare_home(settings.dagster_home)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mlops-hub-")))
        file = workspace or stack.enter_context(serve_code(module, home, folder))
        instance = stack.enter_context(dg.DagsterInstance.from_config(str(home)))
        locations = stack.enter_context(CodeLocations(instance, WorkspaceFileTarget([str(file)])))
        # while the code servers load them, too
        definitions = load_definitions(module)
        launcher = DagsterLauncher(
            locations, models_of(definitions), delegation_key(settings.delegation_key, home)
        )
        servers = WebServerSettings(home, file, folder)
        reading, full = WebServer(servers, read_only=True), WebServer(servers, read_only=False)
        # both end at the same time
        for server in (reading, full):
            stack.callback(server.close)
        for server in (reading, full):
            stack.callback(server.request_end)
        # one of them is wanted soon, and takes seconds to start
        (full if alone else reading).start()
        yield DagsterService(launcher, DagsterProxy(reading, full), definitions)


class _Below(BaseRoute):
    """A route of an ASGI app at a path and all below, which gets paths and states as they are."""

    def __init__(self, prefix: str, app: ASGIApp) -> None:
        self._prefix = prefix
        self._app = app

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether a request is for the app."""
        if scope["type"] in ("http", "websocket"):
            path: str = scope["path"]
            if path == self._prefix or path.startswith(f"{self._prefix}/"):
                return Match.FULL, {"endpoint": self._app}
        return Match.NONE, {}

    def url_path_for(self, name: str, /, **path_params: object) -> URLPath:
        """Find nothing: the app has no named routes."""
        raise NoMatchFound(name, path_params)

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self._app(scope, receive, send)
