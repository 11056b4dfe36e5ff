"""The routes of probes and metrics."""

from __future__ import annotations

from dataclasses import dataclass

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mlops_assets.hub.operations.metrics import HubMetrics
from mlops_assets.hub.operations.orchestration import code_server_state, read_orchestration
from mlops_assets.hub.operations.readiness import (
    ReadinessProbe,
    registry_state,
    workspace_state,
)
from mlops_assets.hub.orchestration.dagster_launcher import DagsterLauncher
from mlops_assets.hub.orchestration.launcher import Launcher
from mlops_assets.hub.sign_in.requests import LIVE, METRICS, READY
from mlops_assets.principals import Principal, Role
from mlops_assets.serving.metrics import CONTENT_TYPE
from mlops_assets.serving.visible_versions import VisibleVersions
from mlops_assets.store import Store

# counts everything; what a caller gets of it is decided at each scrape
COUNTING = Principal("metrics", frozenset({Role.VIEWER, Role.OPERATOR}))


@dataclass(frozen=True)
class Operations:
    """What is known of the operation of a hub.

    Attributes:
        readiness: of what it relies on.
        metrics: what is counted.
        visible: models that callers may see.
    """

    readiness: ReadinessProbe
    metrics: HubMetrics
    visible: VisibleVersions

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route(LIVE, _live),
            Route(READY, self._ready),
            Route(METRICS, self._metrics),
        ]

    async def _ready(self, _request: Request) -> Response:
        """Respond whether the hub can be used, and why not."""
        found = await run_in_threadpool(self.readiness.read)
        document = {"ready": found.is_ready, **found.parts}
        return _json(document, 200 if found.is_ready else 503)

    async def _metrics(self, request: Request) -> Response:
        """Respond with the metrics that the caller may see."""
        principal: Principal = request.state.principal
        principal.require(Role.VIEWER, "read metrics")

        def text() -> bytes:
            return self.metrics.text(
                lambda model, version: self.visible.sees(principal, model, version)
            )

        return Response(await run_in_threadpool(text), media_type=CONTENT_TYPE)


def operations_of(store: Store, launcher: Launcher | None) -> Operations:
    """Return what is to be known of the operation of a hub.

    Args:
        store: workspace and registry.
        launcher: of its runs.
    """
    counting = store.acting(COUNTING)
    parts = {
        "registry": lambda: registry_state(counting),
        "workspace": lambda: workspace_state(counting),
    }
    orchestration = None
    if isinstance(launcher, DagsterLauncher):
        locations = launcher.locations
        parts["code_server"] = lambda: code_server_state(locations)
        orchestration = lambda: read_orchestration(locations.instance)  # noqa: E731
    readiness = ReadinessProbe(parts)
    metrics = HubMetrics(counting.registry.totals, orchestration, readiness)
    store.registry.count_errors(metrics.registry_errors.inc)
    return Operations(readiness, metrics, VisibleVersions(store.registry))


async def _live(_request: Request) -> Response:
    """Respond that the process runs."""
    return _json({"live": True})


def _json(document: dict[str, object], status: int = 200) -> Response:
    return Response(
        orjson.dumps(document),
        status,
        media_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
