"""The server under load, with faults of its parts, and with callers of different rights."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import timedelta
from typing import Any

import httpx
import pytest
from numpy.typing import NDArray

from mlops_assets.errors import RequestRefused
from mlops_assets.identity.bearer import Bearers
from mlops_assets.identity.tokens import create_token
from mlops_assets.principals import Role
from mlops_assets.serving import authentication, visible_versions
from mlops_assets.serving.app import ServerSettings, create_server_app
from mlops_assets.serving.bodies import SMALL, Bodies
from mlops_assets.serving.metrics import MAX_CALLERS, Outcome, ServerMetrics
from mlops_assets.serving.sessions.interface import Tensors
from mlops_assets.serving.workers import Workers
from mlops_assets.store import Store
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.serving.models import (
    VERSION,
    MemoryLog,
    MemoryRepository,
    row,
    run_cnn,
    session,
)
from mlops_assets_tests.serving.test_protocol import INFER, is_answered, refused, request

ROLES = {"guest", "viewer", "scientist", "approver", "operator"}


@contextmanager
def asked(
    store: Store, repository: MemoryRepository, log: MemoryLog | None = None, **settings: Any
) -> Iterator[httpx.Client]:
    """A client of a server."""
    app = create_server_app(store, repository, log, ServerSettings(**settings))
    with served(app) as url, httpx.Client(base_url=url, timeout=60) as client:
        yield client


def bearer(store: Store, *roles: Role, name: str) -> dict[str, str]:
    token = create_token(store.registry, name, roles, timedelta(days=1))[1]
    return {"Authorization": f"Bearer {token}"}


def test_each_right_needs_its_role(store: Store) -> None:
    callers = {role: bearer(store, Role(role), name=role) for role in ROLES}
    paths = {
        ("GET", "/v2"): ROLES - {"guest"},
        ("GET", "/v2/models/cnn"): ROLES - {"guest"},
        ("GET", "/v2/models/cnn/ready"): ROLES - {"guest"},
        ("POST", "/v2/repository/index"): ROLES - {"guest"},
        ("POST", INFER): ROLES - {"guest"},
        ("GET", "/metrics"): ROLES - {"guest"},
        ("POST", "/v2/repository/models/cnn/unload"): {"approver"},
        ("POST", "/v2/repository/models/cnn/load"): {"approver"},
    }
    register(store, "cnn")
    with asked(store, MemoryRepository(session("cnn")), bearers=Bearers(store.registry)) as client:
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert client.get(path).status_code == 200
        for (method, path), allowed in paths.items():
            content = request() if path == INFER else b""
            answer = client.request(method, path, content=content)
            refused(answer, 401, "bearer token")
            assert answer.headers["www-authenticate"] == "Bearer"
            found = set()
            for role, headers in callers.items():
                answer = client.request(method, path, content=content, headers=headers)
                if answer.status_code == 403:
                    refused(answer, 403, role, "needs the role")
                else:
                    assert answer.status_code == 200, answer.text
                    found.add(role)
            assert found == allowed, path
        refused(client.get("/v2", headers={"Authorization": "Bearer no"}), 401, "unknown")


def register(store: Store, model: str, **columns: object) -> None:
    """Add a model version to the registry."""
    with store.registry.transaction("test", Role.VIEWER) as session:
        session.add(row(model, VERSION, **columns))


def test_a_private_model_is_like_one_that_is_not_there(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(visible_versions, "KEPT_SECONDS", 0.0)
    register(store, "cnn")
    register(store, "own", visibility="private")
    repository = MemoryRepository(session("cnn"), session("own"))
    ann = bearer(store, Role.APPROVER, name="ann")
    root = bearer(store, Role.OPERATOR, name="root")
    with asked(store, repository, bearers=Bearers(store.registry)) as client:
        infer = INFER.replace("cnn", "own")
        assert client.post(infer, content=request(), headers=root).status_code == 200
        for method, path in (
            ("GET", "/v2/models/own"),
            ("GET", "/v2/models/own/ready"),
            ("GET", f"/v2/models/own/versions/{VERSION}"),
            ("POST", infer),
            ("POST", "/v2/repository/models/own/unload"),
        ):
            content = request() if path == infer else b""
            answer, other = (
                client.request(method, each, content=content, headers=ann)
                for each in (path, path.replace("own", "non"))
            )
            assert (answer.status_code, answer.text.replace("own", "non")) == (404, other.text)
        for path in ("/metrics", "/v2/repository/index"):
            method = "GET" if path == "/metrics" else "POST"
            assert "own" in client.request(method, path, headers=root).text
            assert "own" not in client.request(method, path, headers=ann).text.replace("known", "")
        with store.registry.transaction("test", Role.VIEWER) as transaction:
            transaction.get_one(type(row("own")), ("own", VERSION)).visibility = "workspace"
        assert client.post(infer, content=request(), headers=ann).status_code == 200


def test_a_revoked_token_is_refused_after_seconds(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = bearer(store, Role.VIEWER, name="ann")
    bearers = Bearers(store.registry)
    monkeypatch.setattr(authentication, "KEPT_SECONDS", 3600.0)
    with asked(store, MemoryRepository(session("cnn")), bearers=bearers) as client:
        assert client.get("/v2", headers=headers).status_code == 200
        store.registry.revoke_tokens("ann")
        assert client.get("/v2", headers=headers).status_code == 200
    monkeypatch.setattr(authentication, "KEPT_SECONDS", -1.0)
    with asked(store, MemoryRepository(session("cnn")), bearers=bearers) as client:
        refused(client.get("/v2", headers=headers), 401, "revoked")


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "attacker.example"},
        {"Host": "127.0.0.1.attacker.example:8000"},
        {"Origin": "https://attacker.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"X-Forwarded-For": "203.0.113.9"},
        {"Forwarded": "for=203.0.113.9"},
    ],
)
def test_without_tokens_neither_pages_nor_proxies_are_the_local_user(
    store: Store, headers: dict[str, str]
) -> None:
    repository = MemoryRepository(session("cnn"))
    with asked(store, repository) as client:
        path = "/v2/repository/models/cnn/unload"
        refused(client.post(path, headers=headers), 403, "tokens")
        assert repository.unloaded == set()
        assert client.get("/v2", headers={"Host": "localhost"}).status_code == 200
        assert client.get("/v2", headers={"Host": "[::1]:8000"}).status_code == 200


def test_more_requests_than_threads_and_queue_take_are_refused_at_once(store: Store) -> None:
    """Health is answered, and once there is room, so are requests."""
    entered, leave = threading.Semaphore(0), threading.Event()

    def wait(inputs: Tensors) -> dict[str, NDArray[Any]]:
        entered.release()
        leave.wait(60)
        return run_cnn(inputs)

    repository = MemoryRepository(session("cnn", wait))
    with asked(store, repository, threads=2, queue=1) as client, ThreadPoolExecutor(3) as pool:
        url = str(client.base_url) + INFER
        waiting = [pool.submit(httpx.post, url, content=request(), timeout=60) for _ in range(3)]
        assert entered.acquire(timeout=30) and entered.acquire(timeout=30)
        while "mlops_requests_in_progress 3.0" not in client.get("/metrics").text:
            pass
        answer = client.post(INFER, content=request())
        refused(answer, 503, "3 requests")
        assert answer.headers["retry-after"] == "1"
        assert client.get("/v2/health/live").status_code == 200
        leave.set()
        assert [each.result().status_code for each in waiting] == [200, 200, 200]
        assert is_answered(client)
        counted = client.get("/metrics").text
    assert 'caller="tester",model="cnn",status="503",version=""} 1.0' in counted
    assert f'caller="tester",model="cnn",status="200",version="{VERSION}"}} 4.0' in counted


def test_faults_of_the_log_and_of_the_model_reach_no_other_request(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(inputs: Tensors) -> dict[str, NDArray[Any]]:
        raise RuntimeError("secret of the server")

    def refuse(inputs: Tensors) -> dict[str, NDArray[Any]]:
        raise ValueError("needs 3 bands")

    log = MemoryLog()
    log.error = OSError("no space left on device")
    repository = MemoryRepository(
        session("cnn"), session("failing", fail), session("picky", refuse)
    )
    with asked(store, repository, log) as client, caplog.at_level(logging.ERROR):
        assert is_answered(client)
        answer = client.post("/v2/models/failing/infer", content=request())
        refused(answer, 500, "see its log")
        assert "secret" not in answer.text
        refused(client.post("/v2/models/picky/infer", content=request()), 400, "needs 3 bands")
        assert is_answered(client)
        counted = client.get("/metrics").text
    assert "no space left on device" in caplog.text and "secret of the server" in caplog.text
    assert 'mlops_log_dropped_total{model="cnn"} 3.0' in counted
    assert 'model="failing",status="500",version=""} 1.0' in counted
    assert f'mlops_loaded{{model="picky",version="{VERSION}"}} 1.0' in counted
    assert log.closed


def test_callers_cannot_multiply_the_series_of_the_metrics(store: Store) -> None:
    repository = MemoryRepository(session("cnn"))
    metrics = ServerMetrics(repository, None, Workers(1, 1))
    for number in range(2 * MAX_CALLERS):
        metrics.count(Outcome("cnn", VERSION, f"caller{number}", 200, 0.01))
    text = metrics.text(lambda model, version: True).decode()
    assert text.count("mlops_requests_total{") == MAX_CALLERS + 1
    with asked(store, repository) as client:
        for number in range(3):
            client.post(f"/v2/models/no{number}/infer", content=request())
        found = client.get("/metrics").text
    assert 'caller="tester",model="",status="404",version=""} 3.0' in found


def test_large_bodies_are_bounded_together_and_small_ones_are_not() -> None:
    """Slow callers could fill the memory otherwise, each within the limit of a body."""
    import anyio

    bodies = Bodies(4 * SMALL, 4 * SMALL)

    async def read(size: int, cut: bool = False) -> bytes:
        chunks = [SMALL // 2] * (2 * size // SMALL)

        async def receive() -> dict[str, Any]:
            if not chunks:
                return {"type": "http.disconnect"}
            body = b"x" * chunks.pop()
            return {"type": "http.request", "body": body, "more_body": cut or bool(chunks)}

        return await bodies.receive({}, receive)

    async def main() -> None:
        held = await read(3 * SMALL)
        with pytest.raises(RequestRefused, match="room") as refusal:
            await read(2 * SMALL)
        assert refusal.value.status == 503
        assert len(await read(SMALL)) == SMALL
        bodies.release(held)
        with pytest.raises(RequestRefused, match="interrupted"):
            await read(4 * SMALL, cut=True)
        assert len(await read(4 * SMALL)) == 4 * SMALL

    anyio.run(main)


def test_1000_idle_connections_leave_room_for_a_request(store: Store) -> None:
    import socket
    from urllib.parse import urlsplit

    from mlops_assets.serving.http_server import Limits, raise_file_limit

    raise_file_limit(4096)
    app = create_server_app(store, MemoryRepository(session("cnn")), None, ServerSettings())
    with served(app, Limits(connections=2000, peer_connections=2000)) as url:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        idle = [socket.create_connection((parts.hostname, parts.port)) for _ in range(1000)]
        try:
            with closing(httpx.Client(base_url=url, timeout=60)) as client:
                assert is_answered(client)
        finally:
            for each in idle:
                each.close()
