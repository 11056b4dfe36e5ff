"""The check `served`, of servers that answer rightly, wrongly, late, or not at all."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from mlops_assets.datasets.quality import Check
from mlops_assets.integrations.deployment import server
from mlops_assets.integrations.deployment.deploy import deploy, undeploy
from mlops_assets.integrations.deployment.served import served_check
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.store import Store
from mlops_assets_tests.integrations.deployment.service import service, versions

# number of a request, and its token → status and body
Answer = Callable[[int, str | None], tuple[int, bytes]]


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """A server on this machine; its URL."""
    seen: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v2/models/land"
            seen.append(self.path)
            status, body = answer(len(seen), self.headers.get("authorization"))
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_address[1]}"
    finally:
        found.shutdown()
        thread.join()
        found.server_close()


def described(sha256: str) -> bytes:
    """The metadata of a model as a server of ours answers."""
    return json.dumps({"name": "land", "properties": {"sha256": sha256}}).encode()


@pytest.fixture
def deployed(store: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A workspace whose newer version is deployed; nobody waits for long."""
    monkeypatch.setattr(server, "WAIT_SECONDS", 0.0)
    deploy(store, service(), versions(store)[1])
    return store


def check(store: Store, answer: Answer, **options: float | str) -> Check:
    with answering(answer) as url:
        specification: ServiceSpecification = service(url=url)
        return served_check(store.registry, specification, **options)  # type: ignore[arg-type]


def digest(store: Store) -> str:
    return store.registry.deployments()[0].sha256


def test_a_server_that_loads_it_late_is_waited_for(
    deployed: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "INTERVAL_SECONDS", 0.01)
    sha256 = digest(deployed)

    def answer(number: int, _: str | None) -> tuple[int, bytes]:
        return (
            (404, b"{}") if number == 1 else (200, described("0" * 64 if number == 2 else sha256))
        )

    assert check(deployed, answer, seconds=30.0).passed
    late = check(deployed, answer)
    assert not late.passed and "answers 404" in late.description and not late.blocking


def test_another_file_is_told_from_a_server_that_does_not_answer(deployed: Store) -> None:
    other = check(deployed, lambda *_: (200, described("0" * 64)))
    assert not other.passed and "another file, sha256 000000000000" in other.description
    unreachable = served_check(deployed.registry, service())
    assert not unreachable.passed
    assert "no server answers" in unreachable.description
    assert "'mlops serve land@production'" in unreachable.description


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, b"[" * 100_000, "does not answer with JSON"),
        (200, b'{"properties": {"sha256": ["x"]}}', "does not name the sha256"),
        (200, b"[]", "does not name the sha256"),
        (200, b" " * (2 << 20), "more than"),
        (302, b"", "answers 302"),
        (500, b"", "answers 500"),
        (401, b"", "MLOPS_API_TOKEN"),
    ],
)
def test_a_server_that_answers_anything_else_is_a_warning(
    status: int, body: bytes, message: str, deployed: Store
) -> None:
    found = check(deployed, lambda *_: (status, body))
    assert not found.passed and message in found.description, found.description


def test_the_token_is_sent_within_this_machine(deployed: Store) -> None:
    sha256 = digest(deployed)

    def answer(_: int, token: str | None) -> tuple[int, bytes]:
        return (200, described(sha256)) if token == "Bearer abc" else (401, b"")

    assert check(deployed, answer, token="abc").passed
    assert not check(deployed, answer).passed


def test_what_is_undeployed_is_to_be_served_no_more(deployed: Store) -> None:
    sha256 = digest(deployed)
    undeploy(deployed, service())
    still = check(deployed, lambda *_: (200, described(sha256)))
    assert not still.passed and "still serves" in still.description
    assert check(deployed, lambda *_: (404, b"")).passed
    assert served_check(deployed.registry, service()).passed
