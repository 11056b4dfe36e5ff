"""Each request's identifier, for its logs and its response, and its outcome, for the metrics."""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.hub.orchestration.links import PREFIX as DAGSTER
from mlops_assets.hub.sign_in.requests import LIVE, METRICS, READY
from mlops_assets.logs import log_fields

HEADER = "X-Request-ID"
OTHER = "other"  # route of requests for which there is none
# what proxies generate: UUIDs, and hexadecimal or base64url numbers
_IDENTIFIER = re.compile(rb"[A-Za-z0-9_-]{8,64}")
# Starlette's own routes leave no template
_OWN = frozenset({LIVE, READY, METRICS})
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """The end of a request.

    Attributes:
        method: of HTTP; `other` if it is not a usual one.
        route: template of the path, such as `/models/{name}`; `other` if there is none.
        status: of HTTP; 500 if the app has ended without a response.
        seconds: until the response was complete.
    """

    method: str
    route: str
    status: int
    seconds: float


class Requests:
    """ASGI middleware that identifies requests, and reports how each of them ends."""

    def __init__(self, app: ASGIApp, count: Callable[[RequestOutcome], None]) -> None:
        """Follow the requests to an app.

        Args:
            app: the app.
            count: gets each outcome.
        """
        self._app = app
        self._count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on; its response names its identifier."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        identifier = _identifier(scope)
        status = 500

        async def send_with_identifier(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message).setdefault(HEADER, identifier)
            await send(message)

        started = time.perf_counter()
        with log_fields(request=identifier):
            try:
                await self._app(scope, receive, send_with_identifier)
            finally:
                # a socket lasts as long as its page is open
                if scope["type"] == "http":
                    seconds = time.perf_counter() - started
                    method = scope["method"] if scope["method"] in _METHODS else OTHER
                    outcome = RequestOutcome(method, route_of(scope), status, seconds)
                    self._count(outcome)


def route_of(scope: Scope) -> str:
    """Return the template of the path of a request that was answered, with that of its mount.

    Args:
        scope: of the request, as routers leave it.
    """
    path: str = scope["path"]
    if path == DAGSTER or path.startswith(f"{DAGSTER}/"):
        return DAGSTER
    if path in _OWN:
        return path
    # FastAPI keeps the prefix of an included router apart from its routes
    included = scope.get("fastapi", {}).get("effective_route_context")
    template = getattr(included or scope.get("route"), "path", None)
    if not isinstance(template, str):
        return OTHER
    # files of a mount have no template of their own
    root = scope.get("root_path", "")
    return f"{root}{template}" if root and not template.startswith(root) else template


def _identifier(scope: Scope) -> str:
    """Return the identifier that a proxy has given a request, else a new one."""
    name = HEADER.lower().encode()
    sent = [value for key, value in scope["headers"] if key == name]
    if len(sent) == 1 and _IDENTIFIER.fullmatch(sent[0]):
        return str(sent[0].decode())
    return secrets.token_hex(16)
