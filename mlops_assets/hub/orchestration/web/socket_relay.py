"""Websockets between a browser and a web server of Dagster, which sends events of runs on them."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState
from websockets.asyncio.client import ClientConnection, unix_connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.typing import Subprotocol

from mlops_assets.errors import Forbidden
from mlops_assets.hub.orchestration.web.graphql_reads import checked_message
from mlops_assets.hub.rest.errors import Refused

PROTOCOL = "graphql-ws"
# bytes of a message from the browser, and from Dagster
MAX_SENT = 1 << 20
MAX_RECEIVED = 32 << 20
OPEN_SECONDS = 10.0
POLICY_VIOLATION = 1008
TRY_AGAIN = 1013


async def relay(websocket: WebSocket, socket: Path, path: str, unchecked: bool) -> None:
    """Relay the messages of a websocket until either side closes it.

    Args:
        websocket: of the browser.
        socket: of the web server.
        path: of its websocket.
        unchecked: whether messages may have mutations.
    """
    if PROTOCOL not in websocket.scope.get("subprotocols", []):
        await websocket.close(code=POLICY_VIOLATION, reason=f"the protocol is {PROTOCOL}")
        return
    try:
        connection = await unix_connect(
            str(socket),
            f"ws://dagster{path}",
            subprotocols=[Subprotocol(PROTOCOL)],
            max_size=MAX_RECEIVED,
            open_timeout=OPEN_SECONDS,
            user_agent_header=None,
        )
    except (OSError, TimeoutError, InvalidHandshake):
        await websocket.close(code=TRY_AGAIN, reason="Dagster's web server is not reachable")
        return
    await websocket.accept(subprotocol=PROTOCOL)
    async with connection:
        tasks = [
            asyncio.create_task(_to_dagster(websocket, connection, unchecked)),
            asyncio.create_task(_to_browser(websocket, connection)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    if websocket.application_state == WebSocketState.CONNECTED:
        with suppress(RuntimeError, WebSocketDisconnect):
            await websocket.close()


async def _to_dagster(websocket: WebSocket, connection: ClientConnection, unchecked: bool) -> None:
    with suppress(WebSocketDisconnect, ConnectionClosed):
        while True:
            text = await websocket.receive_text()
            if len(text) > MAX_SENT:
                await websocket.close(code=1009, reason="the message is too large")
                return
            if not unchecked:
                try:
                    text = checked_message(text)
                except (Forbidden, Refused) as error:
                    await websocket.close(code=POLICY_VIOLATION, reason=str(error)[:120])
                    return
            await connection.send(text)


async def _to_browser(websocket: WebSocket, connection: ClientConnection) -> None:
    with suppress(WebSocketDisconnect, ConnectionClosed):
        async for message in connection:
            await websocket.send_text(message if isinstance(message, str) else message.decode())
