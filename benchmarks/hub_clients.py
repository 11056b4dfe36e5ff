"""Browsers without a screen: pages of the hub are loaded, and their websockets kept open.

`python -m benchmarks.hub_clients URL COUNT SECONDS PATH …` prints a line of JSON. 50 pages in
Chromium would measure Chromium on a machine with two cores.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import uuid
from dataclasses import asdict, dataclass, field
from urllib.parse import urlencode, urlsplit

import httpx
import socketio

_CLIENT = re.compile(r"'client_id': '([0-9a-f-]+)'")
_SOCKET = "/_nicegui_ws/socket.io"


@dataclass
class Outcome:
    """What the clients saw.

    Attributes:
        connected: number of websockets that were accepted.
        dropped: number of those that ended before the end.
        messages: that they received.
        load_seconds: until each page was there and its websocket connected.
        bytes: of all pages.
    """

    connected: int = 0
    dropped: int = 0
    messages: int = 0
    load_seconds: list[float] = field(default_factory=list)
    bytes: int = 0


async def watch(url: str, count: int, seconds: float, paths: list[str]) -> Outcome:
    """Open pages one after the other, keep them open, and count what happens.

    Args:
        url: of the hub.
        count: number of clients.
        seconds: that the last one stays.
        paths: of the pages, in turns.
    """
    outcome = Outcome()
    sockets: list[socketio.AsyncClient] = []
    async with httpx.AsyncClient(base_url=url, timeout=60) as web:
        for number in range(count):
            opened = await _open(web, url, paths[number % len(paths)], outcome)
            sockets.append(opened)
        await asyncio.sleep(seconds)
    outcome.dropped = sum(not socket.connected for socket in sockets)
    for socket in sockets:
        await socket.disconnect()
    return outcome


async def _open(
    web: httpx.AsyncClient, url: str, path: str, outcome: Outcome
) -> socketio.AsyncClient:
    started = time.perf_counter()
    answer = await web.get(path, headers={"Accept": "text/html"})
    answer.raise_for_status()
    found = _CLIENT.search(answer.text)
    if found is None:
        raise ValueError(f"{path} is not a page of NiceGUI")
    outcome.bytes += len(answer.content)
    socket = socketio.AsyncClient(reconnection=False)

    async def count(*_: object) -> None:
        outcome.messages += 1

    socket.on("*", count)
    query = {
        "client_id": found[1],
        "next_message_id": 0,
        "implicit_handshake": "true",
        "document_id": str(uuid.uuid4()),
        "tab_id": str(uuid.uuid4()),
    }
    parts = urlsplit(url)
    await socket.connect(
        f"{url}?{urlencode(query)}",
        headers={"Origin": f"{parts.scheme}://{parts.netloc}"},
        transports=["websocket"],
        socketio_path=_SOCKET,
        wait_timeout=60,
    )
    outcome.connected += 1
    outcome.load_seconds.append(time.perf_counter() - started)
    return socket


def main() -> None:
    """Print what the clients saw."""
    url, count, seconds, *paths = sys.argv[1:]
    outcome = asyncio.run(watch(url, int(count), float(seconds), paths))
    print(json.dumps(asdict(outcome)))


if __name__ == "__main__":
    main()
