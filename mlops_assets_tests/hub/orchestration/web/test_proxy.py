"""Who reaches which of Dagster's web servers through the hub, and with what of their request."""

from __future__ import annotations

import json
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import connect
from websockets.typing import Subprotocol

from mlops_assets.hub.orchestration.web.proxy import DagsterProxy
from mlops_assets.principals import Principal, Role
from mlops_assets.serving.http_server import configuration
from mlops_assets_tests.servers.processes import HOST, free_port

POLICY = "script-src 'nonce-1'"


@dataclass
class Dagster:
    """A web server on a Unix socket that notes what reaches it."""

    socket: Path
    started: bool = False
    requests: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)

    def start(self) -> None:
        self.started = True

    async def respond(self, request: Request) -> Response:
        target = request.scope["raw_path"].decode() + (
            f"?{request.url.query}" if request.url.query else ""
        )
        self.requests.append((request.method, target, dict(request.headers), await request.body()))
        response = HTMLResponse("<p>page of Dagster</p>")
        response.headers["Content-Security-Policy"] = POLICY
        response.headers["Connection"] = "X-Private, keep-alive"
        response.headers["X-Private"] = "of this connection"
        response.set_cookie("dagster", "1")
        return response

    async def socket_of_graphql(self, websocket: WebSocket) -> None:
        await websocket.accept(subprotocol="graphql-ws")
        self.messages.append(json.dumps(dict(websocket.headers)))
        async for text in websocket.iter_text():
            self.messages.append(text)
            await websocket.send_json({"type": "data", "id": "1"})

    @property
    def app(self) -> Starlette:
        methods = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]
        return Starlette(
            routes=[
                WebSocketRoute("/dagster/graphql", self.socket_of_graphql),
                Route("/{path:path}", self.respond, methods=methods),
            ]
        )


@contextmanager
def running(configured: uvicorn.Config) -> Iterator[None]:
    server = uvicorn.Server(configured)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)
    yield
    server.should_exit = True
    thread.join()


class AsPrincipal:
    """The guard of a hub: who calls is in a header of the test."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            roles = dict(scope["headers"]).get(b"x-roles", b"").decode()
            if roles:
                principal = Principal("ann", frozenset(map(Role, roles.split(","))))
                scope["state"] = {"principal": principal}
            await self.app(scope, receive, send)


@dataclass
class Hub:
    """A hub with both web servers."""

    reading: Dagster
    full: Dagster
    port: int

    def call(self, roles: str, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {
            "Cookie": "session=secret",
            "Authorization": "Bearer secret",
            "X-Forwarded-Host": "evil.example",
            **options.pop("headers", {}),
            **({"x-roles": roles} if roles else {}),
        }
        with httpx.Client(base_url=f"http://{HOST}:{self.port}", trust_env=False) as client:
            return client.request(method, f"/dagster{path}", headers=headers, **options)

    def socket(self, roles: str, protocols: Sequence[str] = ("graphql-ws",)) -> Any:
        return connect(
            f"ws://{HOST}:{self.port}/dagster/graphql",
            subprotocols=[Subprotocol(each) for each in protocols],
            additional_headers={"x-roles": roles, "Cookie": "session=secret"},
            proxy=None,
        )


@pytest.fixture(scope="module")
def _hub() -> Iterator[Hub]:
    # the path of a Unix socket has 107 characters at most
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        reading, full = Dagster(folder / "reading"), Dagster(folder / "full")
        for dagster in (reading, full):
            config = uvicorn.Config(
                dagster.app, uds=str(dagster.socket), ws="websockets-sansio", log_level="error"
            )
            stack.enter_context(running(config))
        port = free_port()
        proxy = AsPrincipal(DagsterProxy(reading, full))  # type: ignore[arg-type]
        stack.enter_context(running(configuration(proxy, HOST, port, websockets=True)))
        yield Hub(reading, full, port)


@pytest.fixture
def hub(_hub: Hub) -> Hub:
    for dagster in (_hub.reading, _hub.full):
        dagster.started = False
        dagster.requests.clear()
        dagster.messages.clear()
    return _hub


@pytest.mark.parametrize("roles", ["", "guest"])
def test_who_may_not_read_reaches_no_server(hub: Hub, roles: str) -> None:
    for path in ("", "/runs", "/graphql?query={version}", "/server_info"):
        assert hub.call(roles, "GET", path).status_code == 403
    with pytest.raises(InvalidStatus):
        hub.socket(roles)
    assert not hub.reading.requests and not hub.full.requests
    assert not hub.reading.started and not hub.full.started


@pytest.mark.parametrize("roles", ["viewer", "scientist", "approver", "viewer,scientist,approver"])
def test_all_but_operators_reach_the_reading_server(hub: Hub, roles: str) -> None:
    response = hub.call(roles, "GET", "/runs/a%2Fb?x=1")
    assert (response.status_code, response.text) == (200, "<p>page of Dagster</p>")
    ((method, target, _, _),) = hub.reading.requests
    assert (method, target) == ("GET", "/dagster/runs/a%2Fb?x=1")
    assert not hub.full.started and not hub.full.requests


def test_operators_reach_the_full_server_with_mutations(hub: Hub) -> None:
    mutation = {"query": "mutation { launchRun }"}
    assert hub.call("operator", "POST", "/graphql", json=mutation).status_code == 200
    ((method, target, _, body),) = hub.full.requests
    assert (method, target, json.loads(body)) == ("POST", "/dagster/graphql", mutation)
    assert not hub.reading.requests


def test_no_link_has_a_mutation_of_operators(hub: Hub) -> None:
    path = "/graphql?query=mutation%7BlaunchRun%7D"
    assert hub.call("operator", "GET", path).status_code == 403
    assert not hub.full.requests


def test_neither_cookies_nor_tokens_nor_hosts_reach_dagster(hub: Hub) -> None:
    hub.call("operator", "GET", "/runs")
    hub.call("viewer", "GET", "/runs")
    for dagster in (hub.full, hub.reading):
        ((_, _, headers, _),) = dagster.requests
        assert headers["host"] == "dagster"
        assert "secret" not in str(headers) and "evil" not in str(headers)
        assert "x-roles" not in headers


def test_what_comes_back_sets_no_cookie_and_cannot_be_framed(hub: Hub) -> None:
    response = hub.call("viewer", "GET", "/runs")
    assert "set-cookie" not in response.headers
    assert "x-private" not in response.headers
    policy = response.headers["content-security-policy"]
    assert policy.startswith(f"{POLICY}; ") and policy.endswith("frame-ancestors 'none'")
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("method", "path", "options"),
    [
        ("POST", "/graphql", {"json": {"query": "mutation { launchRun }"}}),
        ("GET", "/graphql?query=mutation%7BlaunchRun%7D", {}),
        ("POST", "/graphql?query=mutation%7BlaunchRun%7D", {}),
        ("POST", "/graphql/", {"json": {"query": "mutation { launchRun }"}}),
        ("POST", "/graphql", {"files": {"map": b"mutation"}}),
        ("GET", "/graphql?query=%7Bversion%7D&query=mutation%7BlaunchRun%7D", {}),
        # a pattern of Starlette ends before a newline, too
        ("GET", "/graphql%0A?query=mutation%7BlaunchRun%7D", {}),
        ("PUT", "/graphql", {"json": {"query": "{ version }"}}),
        ("POST", "/%67raphql", {"json": {"query": "mutation { launchRun }"}}),
        ("POST", "/runs/../graphql", {"json": {"query": "mutation { launchRun }"}}),
        ("POST", "//graphql", {"json": {"query": "mutation { launchRun }"}}),
        ("POST", "/report_asset_materialization/a", {"json": {}}),
        ("POST", "/report_asset_check/a", {"json": {}}),
        ("POST", "/report_asset_observation/a", {"json": {}}),
        ("DELETE", "/runs/1", {}),
        ("GET", "/download_debug/1", {}),
        ("GET", "/notebook?path=x.ipynb", {}),
        ("GET", "/logs/%2e%2e/%2e%2e/etc/passwd", {}),
        ("GET", "/logs/..%5c..%5cetc", {}),
    ],
)
def test_what_a_viewer_may_not_send_reaches_no_server(
    hub: Hub, method: str, path: str, options: dict[str, Any]
) -> None:
    response = hub.call("viewer", method, path, **options)
    assert response.status_code in (400, 403, 405), response.text
    assert not hub.reading.requests and not hub.full.requests


def test_a_query_is_written_anew(hub: Hub) -> None:
    sent = b'{"query": "{ version }", "extensions": {"a": 1}}'
    path = "/graphql?query=mutation%7BlaunchRun%7D"
    headers = {"Content-Type": "application/json;charset=utf-8"}
    assert hub.call("viewer", "POST", path, content=sent, headers=headers).status_code == 200
    ((method, target, passed, body),) = hub.reading.requests
    assert (method, target, body) == ("POST", "/dagster/graphql", b'{"query": "{ version }"}')
    assert passed["content-type"] == "application/json"


def test_bodies_have_limits(hub: Hub) -> None:
    for roles, size in (("viewer", 2 << 20), ("operator", 9 << 20)):
        response = hub.call(roles, "POST", "/graphql", content=b" " * size)
        assert response.status_code == 413
    assert not hub.reading.requests and not hub.full.requests


def test_messages_are_relayed_both_ways_and_a_mutation_ends_the_socket(hub: Hub) -> None:
    start = {"type": "start", "id": "1", "payload": {"query": "subscription { version }"}}
    with hub.socket("viewer") as socket:
        assert socket.subprotocol == "graphql-ws"
        socket.send(json.dumps(start))
        assert json.loads(socket.recv()) == {"type": "data", "id": "1"}
        start["payload"] = {"query": "mutation { launchRun }"}
        socket.send(json.dumps(start))
        with pytest.raises(ConnectionClosedError, match="1008"):
            socket.recv()
    headers, passed = hub.reading.messages
    assert "subscription" in passed and "secret" not in headers
    assert not hub.full.messages


def test_a_socket_of_another_protocol_or_path_is_refused(hub: Hub) -> None:
    with pytest.raises(InvalidStatus):
        hub.socket("viewer", ["graphql-transport-ws"])


def test_a_server_that_is_down_is_a_page_that_says_what_works(tmp_path: Path, hub: Hub) -> None:
    down = Dagster(tmp_path / "none")
    port = free_port()
    proxy = AsPrincipal(DagsterProxy(down, down))  # type: ignore[arg-type]
    with running(configuration(proxy, HOST, port, websockets=True)):
        broken = Hub(down, down, port)
        page = broken.call("viewer", "GET", "/runs", headers={"Accept": "text/html"})
        assert (page.status_code, page.headers["retry-after"]) == (503, "3")
        assert "cannot be shown now. The pages of the hub work." in page.text
        assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
        query = {"query": "{ version }"}
        problem = broken.call("viewer", "POST", "/graphql", json=query)
        assert problem.headers["content-type"] == "application/problem+json"
        with pytest.raises(InvalidStatus):
            broken.socket("viewer")
        assert down.started
