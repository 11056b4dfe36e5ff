"""Paths of a server for its request log: CloudEvents of KServe, and deletion of a request."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mlops_assets.errors import NotFound
from mlops_assets.principals import Principal, Role
from mlops_assets.serving.authentication import Right, require
from mlops_assets.serving.request_log.kserve.cloud_events import EventPairs, read_event
from mlops_assets.serving.request_log.kserve.exchanges import KServeExchanges
from mlops_assets.serving.request_log.writer import RequestLogWriter
from mlops_assets.serving.routes.metadata import json_response
from mlops_assets.serving.routes.state import state_of
from mlops_assets.serving.workers import Workers
from mlops_assets.store import Store

NO_REASON = "requested over HTTP"
WAITING = 64  # events, at most


def log_routes(writer: RequestLogWriter) -> list[BaseRoute]:
    """Return the paths.

    Args:
        writer: the request log of the server.
    """
    events = _Events(writer)

    async def delete(request: Request) -> Response:
        """Delete a logged request and its labels; respond with the numbers of its samples."""
        principal = require(request, Right.DELETE)
        store = state_of(request).store.acting(principal)
        model: str = request.path_params["model"]
        request_id: str = request.path_params["request"]
        reason = request.query_params.get("reason", NO_REASON)
        # what was answered just now is to be found, too
        await run_in_threadpool(writer.flush)
        found = await run_in_threadpool(_delete, store, model, request_id, reason)
        return json_response(found)

    return [
        Route("/v2/models/{model}/requests/{request:path}", delete, methods=["DELETE"]),
        Route("/v2/log/cloudevents", events.respond, methods=["POST"]),
    ]


def _delete(store: Store, model: str, request: str, reason: str) -> dict[str, int]:
    # pandas and Parquet take 60 MB of memory, which only a deletion needs
    from mlops_assets.monitoring.truth.delete import delete_with_labels

    deletion = delete_with_labels(store, model, request, reason)
    if deletion.samples == deletion.labels == 0:
        raise NotFound(
            f"no logged request of {model} has this id; what other servers have answered is in the"
            " log within a minute"
        )
    return {"deleted": deletion.samples, "labels": deletion.labels}


class _Events:
    """The endpoint of CloudEvents."""

    def __init__(self, writer: RequestLogWriter) -> None:
        self._writer = writer
        self._pairs = EventPairs()
        self._exchanges = KServeExchanges()
        # one, as the values of a large body take several times its memory
        self._workers = Workers(1, WAITING)

    async def respond(self, request: Request) -> Response:
        """Log a request once its response is there, too."""
        principal: Principal = request.state.principal
        principal.require(Role.SCIENTIST, "log requests that were answered elsewhere")
        state = state_of(request)
        body = await state.bodies.read(request)
        try:
            headers = dict(request.headers)
            store = state.store.acting(principal)
            await self._workers.run(self._log, store, headers, body)
        finally:
            state.bodies.release(body)
        return json_response({})

    def _log(self, store: Store, headers: dict[str, str], body: bytes) -> None:
        pair = self._pairs.add(read_event(headers, body))
        if pair is None:
            return
        exchange = self._exchanges.exchange(store, *pair)
        if exchange.served.name not in self._writer.models:
            raise NotFound(
                f"requests of {exchange.served.name} are not logged here; start 'mlops serve' with"
                " the service that is declared for it"
            )
        self._writer.record(exchange)
