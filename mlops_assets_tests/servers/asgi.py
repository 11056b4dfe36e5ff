"""An ASGI app on our own HTTP server, on loopback, in a thread of the test's own process."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from starlette.types import ASGIApp

from mlops_assets.serving.http_server import Limits, configuration
from mlops_assets_tests.servers.processes import HOST, free_port


@contextmanager
def served(app: ASGIApp, limits: Limits | None = None) -> Iterator[str]:
    """Serve an app; yield its address."""
    port = free_port()
    server = uvicorn.Server(configuration(app, HOST, port, limits))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server did not start"
            time.sleep(0.01)
        yield f"http://{HOST}:{port}"
    finally:
        server.should_exit = True
        thread.join()
