"""A server on loopback that answers one request after the other as a test has it."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Reply = Callable[["Handler"], None]


class ScriptedServer(ThreadingHTTPServer):
    """The server.

    Attributes:
        replies: to the requests to come; the last one to all further ones.
        requests: so far, as "METHOD /path".
        authorizations: what their headers of this name had.
        ended: set when the test is over, for replies that take for ever.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[Reply] = []
        self.requests: list[str] = []
        self.authorizations: list[str | None] = []
        self.ended = threading.Event()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report errors, but no client that disconnects."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    """Answers requests by the script of the server."""

    protocol_version = "HTTP/1.1"
    server: ScriptedServer

    def log_message(self, *_: Any) -> None:
        """Log nothing."""

    def _handle(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append(f"{self.command} {self.path}")
        self.server.authorizations.append(self.headers.get("Authorization"))
        replies = self.server.replies
        (replies.pop(0) if len(replies) > 1 else replies[0])(self)

    # names that http.server requires
    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815


@contextmanager
def scripted_server(*replies: Reply) -> Iterator[ScriptedServer]:
    """Serve these replies."""
    with ScriptedServer() as server:
        server.replies = list(replies)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.ended.set()
            server.shutdown()
            thread.join()


def reply(status: int, body: object = b"", **headers: str) -> Reply:
    """Answer with a status, with a body of bytes or of JSON, and with `Such_Headers`."""

    def answer(handler: Handler) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        if status != 204:
            handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def hang(handler: Handler) -> None:
    """Answer nothing, and keep the connection."""
    handler.server.ended.wait()
    handler.close_connection = True


def dripping(beginning: bytes, drop: bytes, end: bytes = b"", seconds: float = 0.01) -> Reply:
    """Send a beginning, then the same bytes 1,000 times, every so many seconds, then an end."""

    def drip(handler: Handler) -> None:
        handler.close_connection = True
        with suppress(ConnectionError):
            handler.wfile.write(beginning)
            for _ in range(1_000):
                if handler.server.ended.wait(seconds):
                    return
                handler.wfile.write(drop)
            handler.wfile.write(end)

    return drip
