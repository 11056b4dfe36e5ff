"""A reverse proxy on loopback to a real server, with planted faults for chosen requests."""

from __future__ import annotations

import http.client
import sys
import threading
import time
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length"}
_CODES = {403: "AccessDenied", 404: "NoSuchKey", 500: "InternalError", 503: "SlowDown"}


@dataclass
class Fault:
    """The fault of requests whose path matches.

    Attributes:
        pattern: of the path with its query, unquoted, as `fnmatch` has it: `*/a.tif`,
            `*list-type=2*`.
        method: GET, HEAD, PUT …; any if None.
        status: answer this, and do not forward.
        delay: seconds to wait first.
        cut: end the connection after half the body: of the answer, or of what is uploaded.
        unanswered: forward, and end the connection instead of answering.
        flip: change one bit in the middle of an object that is read; listings are left.
        after: so many requests that match are let through first.
        times: how often, then never again; always if None.
    """

    pattern: str
    method: str | None = None
    status: int | None = None
    delay: float = 0.0
    cut: bool = False
    unanswered: bool = False
    flip: bool = False
    after: int = 0
    times: int | None = None


class FaultyProxy:
    """The proxy: `url` in front of `target`.

    `requests` lists what was asked, as "METHOD /path?query".
    """

    def __init__(self, target: str) -> None:
        """Forward to the server at `target`, once entered as a context."""
        self.target = urlsplit(target)
        self.requests: list[str] = []
        self._faults: list[Fault] = []
        self._lock = threading.Lock()

    def add(self, pattern: str, **what: Any) -> Fault:
        """Misbehave for paths like this from now on; see `Fault`. The first that matches counts."""
        fault = Fault(pattern, **what)
        with self._lock:
            self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Behave from now on."""
        with self._lock:
            self._faults.clear()

    def asked(self, pattern: str) -> list[str]:
        """Return the requests so far that match, written "METHOD /path?query"."""
        with self._lock:
            return [request for request in self.requests if fnmatchcase(request, pattern)]

    def __enter__(self) -> FaultyProxy:
        """Listen."""
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.proxy = self
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _take(self, method: str, path: str) -> Fault | None:
        path = unquote(path)
        with self._lock:
            self.requests.append(f"{method} {path}")
            for fault in self._faults:
                if (
                    fault.times == 0
                    or fault.method not in (None, method)
                    or not fnmatchcase(path, fault.pattern)
                ):
                    continue
                if fault.flip and "?" in path:
                    continue
                if fault.after > 0:
                    fault.after -= 1
                    continue
                if fault.times is not None:
                    fault.times -= 1
                return fault
        return None


class _Server(ThreadingHTTPServer):
    daemon_threads = True  # idle connections of the client's pool do not hold up the end
    request_queue_size = 128
    proxy: FaultyProxy

    def handle_error(self, request: Any, client_address: Any) -> None:
        # a client that disconnects is no error
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    timeout = 60  # seconds of silence after which a kept connection is closed

    def log_message(self, *_: Any) -> None:
        pass

    def _handle(self) -> None:
        proxy, size = self.server.proxy, int(self.headers.get("Content-Length") or 0)
        fault = proxy._take(self.command, self.path) or Fault("*")
        time.sleep(fault.delay)
        if fault.cut and size:
            self.rfile.read(size // 2)
            self.close_connection = True
            return
        body = self.rfile.read(size)
        if fault.status:
            text = (
                "<?xml version='1.0'?><Error><Code>"
                f"{_CODES.get(fault.status, 'Refused')}</Code></Error>"
            ).encode()
            self._answer(fault.status, [("Content-Type", "application/xml")], text, len(text))
            return
        status, headers, answer, length = self._forward(body)
        if fault.unanswered:
            self.close_connection = True
            return
        if fault.flip and answer:
            middle = len(answer) // 2
            answer = answer[:middle] + bytes([answer[middle] ^ 1]) + answer[middle + 1 :]
        self._answer(status, headers, answer[: len(answer) // 2] if fault.cut else answer, length)
        if fault.cut:
            self.close_connection = True

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes, int]:
        target = self.server.proxy.target
        connection = http.client.HTTPConnection(target.hostname or "", target.port, timeout=60)
        try:
            connection.putrequest(
                self.command, self.path, skip_host=True, skip_accept_encoding=True
            )
            for (
                name,
                value,
            ) in self.headers.items():  # with the client's Host, which its signature covers
                if name.lower() not in _HOP_BY_HOP:
                    connection.putheader(name, value)
            connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body)
            with connection.getresponse() as response:
                answer = response.read()
                length = int(response.headers.get("Content-Length") or len(answer))
                return response.status, response.getheaders(), answer, length
        finally:
            connection.close()

    def _answer(
        self, status: int, headers: list[tuple[str, str]], body: bytes, length: int
    ) -> None:
        self.send_response_only(status)
        for name, value in headers:
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        if status != 204:
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    # names that http.server requires
    do_GET = do_HEAD = do_PUT = do_POST = do_PATCH = do_DELETE = _handle  # noqa: N815
