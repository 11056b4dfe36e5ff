"""Dagster's pages behind the hub, below `/dagster`: who reaches which web server, and with what.

Operators reach the full server, those who may read the one that only reads, and nobody else any.
Who a caller is was decided before, by what guards the whole hub.
"""

from __future__ import annotations

import logging
import re
from collections.abc import AsyncIterator, Iterable
from http import HTTPStatus

import httpx
from starlette.datastructures import QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from mlops_assets.errors import Forbidden
from mlops_assets.hub.orchestration.links import PREFIX
from mlops_assets.hub.orchestration.web.graphql_reads import checked_request
from mlops_assets.hub.orchestration.web.refusal_page import refusal
from mlops_assets.hub.orchestration.web.socket_relay import relay
from mlops_assets.hub.orchestration.web.web_servers import WebServer
from mlops_assets.hub.rest.bodies import read_body
from mlops_assets.hub.rest.errors import Refused
from mlops_assets.principals import Principal, Role

GRAPHQL = f"{PREFIX}/graphql"
# bytes of a body: of a query, and of an operator's request
MAX_QUERY = 1 << 20
MAX_BODY = 8 << 20
# seconds; a page of Dagster waits for the code server, too
CONNECT_SECONDS = 5.0
READ_SECONDS = 90.0
RETRY_SECONDS = 3
# what Dagster's pages and servers need; neither cookies nor tokens are theirs
REQUEST_HEADERS = (
    "accept",
    "accept-encoding",
    "accept-language",
    "content-length",
    "content-type",
    "if-modified-since",
    "if-none-match",
    "range",
    "user-agent",
)
_NOT_PASSED_ON = frozenset(
    {
        "connection",
        "content-security-policy",
        "date",
        "feature-policy",
        "keep-alive",
        "proxy-authenticate",
        "server",
        "set-cookie",
        "te",
        "trailer",
        "trailers",
        "transfer-encoding",
        "upgrade",
        "x-frame-options",
    }
)
# of Dagster's page there remains what it says of its scripts and styles
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; font-src 'self' data:; connect-src 'self';"
    " worker-src 'self' blob:; form-action 'self'; frame-ancestors 'none'"
)
# what only reads, but of all runs at once, or by code of the project
_OPERATORS_ONLY = re.compile(rf"{PREFIX}/(download_debug|notebook|dagit|report_asset_\w+)(/|$)")

log = logging.getLogger(__name__)


class DagsterProxy:
    """An ASGI app that passes requests on to Dagster's web servers."""

    def __init__(self, reading: WebServer, full: WebServer) -> None:
        """Proxy two servers.

        Args:
            reading: the one that refuses all mutations.
            full: the one that does what it is asked for.
        """
        self._reading = reading
        self._full = full

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to a request, or relay a websocket."""
        principal: Principal | None = scope.get("state", {}).get("principal")
        if scope["type"] == "websocket":
            await self._relay(WebSocket(scope, receive, send), principal)
            return
        request = Request(scope, receive, send)
        try:
            response = await self._respond(request, principal)
        except Forbidden as error:
            response = refusal(request, HTTPStatus.FORBIDDEN, str(error))
        except Refused as error:
            response = refusal(request, error.status, str(error))
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    def _server(self, principal: Principal | None) -> tuple[WebServer, bool]:
        """Return the server that a caller reaches, started, and whether it is the full one.

        Raises:
            Forbidden: the caller reaches none.
        """
        if principal is None:
            raise Forbidden("sign in to see Dagster's pages")
        principal.require(Role.VIEWER, "see Dagster's pages")
        operates = Role.OPERATOR in principal.roles
        server = self._full if operates else self._reading
        server.start()
        return server, operates

    async def _respond(self, request: Request, principal: Principal | None) -> Response:
        server, operates = self._server(principal)
        path = request.scope["path"]
        # Starlette decodes the path; of what is left no server makes another one
        if ".." in path.split("/") or "\\" in path or not path.isprintable():
            raise Refused(HTTPStatus.BAD_REQUEST, "the path is not valid")
        headers = {
            name: request.headers[name] for name in REQUEST_HEADERS if name in request.headers
        }
        headers["host"] = "dagster"
        # by GET nobody changes anything: a link of another site could be one
        if operates and not (path.rstrip("/") == GRAPHQL and request.method == "GET"):
            content: bytes | None = await read_body(request, MAX_BODY)
            method, query = request.method, request.url.query
        else:
            method, query, content = await _reading_only(request, path, headers)
        headers.pop("content-length", None)
        url = httpx.URL("http://dagster", raw_path=_target(request, query))
        return await _forward(
            request, server, httpx.Request(method, url, headers=headers, content=content)
        )

    async def _relay(self, websocket: WebSocket, principal: Principal | None) -> None:
        try:
            server, operates = self._server(principal)
            if websocket.scope["path"] != GRAPHQL:
                raise Forbidden("Dagster has no websocket at this path")
        except Forbidden as error:
            await websocket.close(code=1008, reason=str(error)[:120])
            return
        await relay(websocket, server.socket, GRAPHQL, operates)


def _target(request: Request, query: str) -> bytes:
    """Return path and query of a request as Dagster gets them."""
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.partition(b"?")[0]
    return path + (b"?" + query.encode("latin-1") if query else b"")


async def _reading_only(
    request: Request, path: str, headers: dict[str, str]
) -> tuple[str, str, bytes | None]:
    """Return method, query and body with which a request is passed on to the reading server.

    Raises:
        Forbidden: it is not one that reads.
        Refused: it is not a request of Dagster's pages.
    """
    if _OPERATORS_ONLY.match(path):
        raise Forbidden("this page of Dagster needs the role operator")
    if path.rstrip("/") == GRAPHQL:
        body = await read_body(request, MAX_QUERY)
        if request.method == "GET" and "query" not in request.query_params:
            return "GET", "", None
        if request.method not in ("GET", "POST"):
            raise Refused(HTTPStatus.METHOD_NOT_ALLOWED, "GraphQL takes GET and POST")
        kind = request.headers.get("content-type", "")
        content = checked_request(kind, body, dict(_single(request.query_params)))
        headers["content-type"] = "application/json"
        headers["accept"] = "application/json"
        return "POST", "", content
    if request.method not in ("GET", "HEAD"):
        raise Forbidden(
            f"{request.method} needs the role operator; Dagster's pages are only read otherwise"
        )
    headers.pop("content-type", None)
    return request.method, request.url.query, None


def _single(parameters: QueryParams) -> Iterable[tuple[str, str]]:
    """Yield parameters, of which none may be given twice, as servers take either."""
    names = [name for name, _ in parameters.multi_items()]
    if len(names) != len(set(names)):
        raise Refused(HTTPStatus.BAD_REQUEST, "a parameter is given twice")
    return parameters.multi_items()


async def _forward(request: Request, server: WebServer, wanted: httpx.Request) -> Response:
    """Pass a request on to a server, and its response back as it comes."""
    transport = httpx.AsyncHTTPTransport(uds=str(server.socket), verify=False)
    client = httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
    )
    try:
        found = await client.send(wanted, stream=True)
    except httpx.ConnectError:
        await client.aclose()
        return refusal(
            request,
            HTTPStatus.SERVICE_UNAVAILABLE,
            "Dagster's web server is starting, or has exited: its graph, its runs' logs and its"
            " automation pages cannot be shown now. The pages of the hub work. This page tries"
            " again by itself.",
            RETRY_SECONDS,
        )
    except httpx.HTTPError as error:
        await client.aclose()
        log.warning("Dagster's web server did not respond: %s", error)
        return refusal(
            request,
            HTTPStatus.GATEWAY_TIMEOUT,
            "Dagster's web server did not respond in time; its pages cannot be shown now. The pages"
            " of the hub work.",
        )

    async def content() -> AsyncIterator[bytes]:
        try:
            async for chunk in found.aiter_raw():
                yield chunk
        finally:
            await found.aclose()
            await client.aclose()

    response = StreamingResponse(content(), found.status_code)
    response.raw_headers = [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in _passed_on(found.headers)
    ]
    return response


def _passed_on(headers: httpx.Headers) -> Iterable[tuple[str, str]]:
    """Yield the headers of a response as the browser gets them."""
    named = {name.strip().lower() for name in headers.get("connection", "").split(",")}
    for name, value in headers.multi_items():
        if name.lower() not in _NOT_PASSED_ON | named:
            yield name, value
    own = headers.get("content-security-policy", "").strip().rstrip(";")
    html = headers.get("content-type", "").startswith("text/html")
    policy = _POLICY if html else "frame-ancestors 'none'"
    yield "content-security-policy", f"{own}; {policy}" if own else policy
    if "x-content-type-options" not in headers:
        yield "x-content-type-options", "nosniff"
