"""A receiver of webhooks on this machine, which verifies signatures by itself."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

KEY = bytes(range(32))
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"


@dataclass
class Receiver:
    """What was received, and what is answered.

    Attributes:
        port: of the server.
        answer: a status, `hang`, or `drip`: 200, whose bytes take 4 seconds.
        ids: of the messages whose signature is right, as they came.
        bodies: of these.
        refused: messages whose signature is wrong, or old.
    """

    port: int = 0
    answer: int | str = 204
    ids: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    refused: int = 0
    gone: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/mlops"


def is_signed(headers: Any, body: bytes, key: bytes = KEY) -> bool:
    """Whether a message has a signature by a key, and is of the last 5 minutes."""
    timestamp = headers["webhook-timestamp"]
    signed = b".".join((headers["webhook-id"].encode(), timestamp.encode(), body))
    own = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    found = [text.partition(",")[2] for text in headers["webhook-signature"].split()]
    return own in found and abs(time.time() - int(timestamp)) < 300


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Run a receiver on a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            if is_signed(self.headers, body):
                receiver.ids.append(self.headers["webhook-id"])
                receiver.bodies.append(json.loads(body))
            else:
                receiver.refused += 1
            if receiver.answer == "drip":
                for byte in b"HTTP/1.1 200 OK\r\n\r\n":
                    if receiver.gone.wait(0.2):
                        return
                    try:
                        self.wfile.write(bytes([byte]))
                    except OSError:
                        return
            elif receiver.answer == "hang":
                receiver.gone.wait()
            else:
                self.send_response(int(receiver.answer))
                self.send_header("location", f"http://127.0.0.1:{receiver.port}/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

        def do_GET(self) -> None:
            receiver.refused += 1
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    receiver.port = server.server_address[1]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield receiver
    finally:
        receiver.gone.set()
        server.shutdown()
        server.server_close()
