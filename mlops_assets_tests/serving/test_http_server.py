"""The HTTP server over raw sockets.

Peers that are slow, silent, many or ambiguous lose their own connections and no others.
"""

from __future__ import annotations

import json
import logging
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from mlops_assets.serving.http_server import MAX_DISCARDED, Limits
from mlops_assets_tests.servers.asgi import served

LIMITS = Limits(
    connections=12,
    peer_connections=8,
    header_bytes=2_000,
    header_seconds=0.5,
    keep_alive_seconds=1,
    progress_seconds=0.5,
)
LARGE = 32 << 20


async def echo(request: Request) -> Response:
    try:
        return PlainTextResponse(await request.body())
    except ClientDisconnect:
        return PlainTextResponse("gone", 400)


async def refuse(request: Request) -> Response:
    return PlainTextResponse("no", 401)


async def large(request: Request) -> Response:
    return PlainTextResponse(b"x" * LARGE)


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    routes = [
        Route(f"/{call.__name__}", call, methods=["GET", "POST"]) for call in (echo, refuse, large)
    ]
    with served(Starlette(routes=routes), LIMITS) as url:
        parts = urlsplit(url)
        assert parts.hostname and parts.port
        yield parts.hostname, parts.port


def connected(address: tuple[str, int], content: bytes = b"") -> socket.socket:
    peer = socket.create_connection(address, timeout=20)
    peer.sendall(content)
    return peer


def answer(peer: socket.socket) -> bytes:
    """All that comes until the server closes the connection; it must, or this times out."""
    received = b""
    with closing(peer):
        try:
            while chunk := peer.recv(1 << 20):
                received += chunk
        except ConnectionResetError:
            pass
    return received


def problem(content: bytes) -> tuple[int, str]:
    head, _, body = content.partition(b"\r\n\r\n")
    assert b"content-type: application/problem+json" in head
    document: dict[str, Any] = json.loads(body)
    assert f"HTTP/1.1 {document['status']} ".encode() == head[:13]
    return document["status"], document["detail"]


def drip(peer: socket.socket, byte: bytes) -> None:
    """Send byte after byte until the server has had enough."""
    try:
        while True:
            peer.sendall(byte)
            time.sleep(0.05)
    except OSError:
        return


POST = b"POST /echo HTTP/1.1\r\nHost: x\r\n"


SLOW = [
    (b"", b"", "headers"),
    (b"POST /echo HT", b"", "headers"),
    (POST, b"A: b\r\n", "headers"),
    (POST + b"Content-Length: 1000\r\n\r\n", b"", "body"),
    (POST + b"Content-Length: 1000\r\n\r\n", b"x", "body"),
    (POST + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", "body"),
    (POST + b"Content-Length: 1\r\nConnection: keep-alive\r\n\r\nxPOST /ec", b"", "headers"),
]


def test_requests_that_do_not_come_end_their_connections(address: tuple[str, int]) -> None:
    def answered(sent: bytes, dripped: bytes) -> bytes:
        peer = connected(address, sent)
        if dripped:
            drip(peer, dripped)
        return answer(peer)  # fails if the connection is not ended

    with ThreadPoolExecutor(len(SLOW)) as pool:
        received = list(
            pool.map(answered, *zip(*((sent, dripped) for sent, dripped, _ in SLOW), strict=True))
        )
    wrong = {}
    for (sent, _, message), content in zip(SLOW, received, strict=True):
        if not content or sent.endswith(b"/ec"):  # a peer that still sends may lose the answer
            continue
        status, detail = problem(content)
        if status != 408 or message not in detail:
            wrong[sent] = content
    assert wrong == {}


def test_a_connection_that_is_kept_alive_ends_when_nothing_comes(address: tuple[str, int]) -> None:
    received = answer(connected(address, POST + b"Content-Length: 1\r\n\r\nx"))
    assert received.startswith(b"HTTP/1.1 200 OK") and received.endswith(b"x")


def test_a_peer_that_does_not_read_ends_its_connection(
    address: tuple[str, int], caplog: pytest.LogCaptureFixture
) -> None:
    peer = connected(address, b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
    with caplog.at_level(logging.WARNING, "uvicorn.error"):
        until = time.monotonic() + 20
        while "does not read" not in caplog.text and time.monotonic() < until:
            time.sleep(0.05)
    assert "does not read" in caplog.text
    received = answer(peer)
    assert len(received) < LARGE


def test_a_peer_that_reads_slowly_gets_all(address: tuple[str, int]) -> None:
    with closing(
        connected(address, b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    ) as peer:
        received = 0
        for _ in range(12):  # longer than a connection may stand still
            received += len(peer.recv(1 << 17))
            time.sleep(0.1)
        while chunk := peer.recv(1 << 20):
            received += len(chunk)
    assert received > LARGE


AMBIGUOUS = [
    (POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400),
    (POST + b"Content-Length: 1, 2\r\n\r\nxx", 400),
    (POST + b"Content-Length: +1\r\n\r\nx", 400),
    (POST + b"Content-Length: -1\r\n\r\nx", 400),
    (POST + b"Content-Length: 0x1\r\n\r\nx", 400),
    (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\nx", 400),
    (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 501),
    (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
    (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
    (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
    (POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n", 505),
    (b"GET /echo HTTP/1.1\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nA: b\x00c\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nA: b\rc\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nA\xff: b\r\n\r\n", 400),
    (b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GET /echo\x00 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"GE(T /echo HTTP/1.1\r\nHost: x\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n", 400),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 3_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"b" * 3_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 431),
    (b"GET /echo HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * 500 + b"\r\n", 431),
]


@pytest.mark.parametrize(("sent", "status"), AMBIGUOUS)
def test_what_could_be_read_in_two_ways_is_refused(
    address: tuple[str, int], sent: bytes, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    smuggled = b"GET /echo HTTP/1.1\r\nHost: smuggled\r\n\r\n"
    received = answer(connected(address, sent + smuggled))
    assert problem(received)[0] == status
    assert received.count(b"HTTP/1.1 ") == 1  # the connection ended there
    assert "Traceback" not in caplog.text and f"refused: {status}" in caplog.text


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_whose_request_was_answered_is_not_read_to_its_end(
    address: tuple[str, int], chunked: bool
) -> None:
    size = 256 << 20
    framing = b"Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}".encode()
    peer = connected(address, b"POST /refuse HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
    sent = 0
    try:
        while sent < size:
            peer.sendall(b"10000\r\n" + b"x" * 65_536 + b"\r\n")
            sent += 65_536
    except OSError:
        pass
    assert sent < size / 4 and sent > MAX_DISCARDED / 2
    assert answer(peer).startswith(b"HTTP/1.1 401")


def test_a_small_body_whose_request_was_answered_leaves_the_connection_open(
    address: tuple[str, int],
) -> None:
    with httpx.Client(base_url="http://{}:{}".format(*address)) as client:
        for _ in range(20):
            assert client.post("/refuse", content=b"x" * 100_000).status_code == 401
        assert client.post("/echo", content=b"x").text == "x"


def test_one_address_has_so_many_connections_and_the_others_are_served_again(
    address: tuple[str, int],
) -> None:
    with ExitStack() as stack:
        for _ in range(LIMITS.peer_connections):
            stack.enter_context(closing(connected(address)))
        refused = answer(connected(address))
        assert problem(refused)[0] == 503 and b"\r\nretry-after: 1\r\n" in refused
        time.sleep(LIMITS.header_seconds)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if answer(
            connected(address, POST + b"Content-Length: 1\r\nConnection: close\r\n\r\nx")
        ).endswith(b"x"):
            return
        time.sleep(0.1)
    raise AssertionError("the server serves no client any more")
