"""A server that a file which is read must not make GDAL send requests to."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def listener() -> Iterator[tuple[str, list[bytes]]]:
    """A server on loopback, and the requests it received."""
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def respond() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    received.append(connection.recv(256))
                    connection.sendall(
                        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                    )

        thread = threading.Thread(target=respond, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", received
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture
def url(listener: tuple[str, list[bytes]]) -> Iterator[str]:
    """The URL of a server that must not receive a request."""
    address, received = listener
    received.clear()
    yield address
    assert received == []
