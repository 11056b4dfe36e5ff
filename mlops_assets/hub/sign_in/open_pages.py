"""Open pages and their sockets: each acts for the session of its user, and no more once that ends.

NiceGUI takes an event from any socket that names the id of a page. Here a socket acts only on the
page that it has opened, for the person who has opened it. What people have entered stays on the
page while their session has ended: once they have signed in again, in another tab, it continues
with the new one.
"""

from __future__ import annotations

import asyncio
import logging
import time
import weakref
from collections.abc import Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs

from nicegui import Client, background_tasks, core, nicegui, ui
from starlette.requests import Request

from mlops_assets.errors import Forbidden, NotFound, SessionEnded
from mlops_assets.hub.sign_in.requests import ATTACH
from mlops_assets.hub.sign_in.sessions import BrowserSessions, Session
from mlops_assets.principals import Principal

RENEWED_WITHIN = 5.0  # seconds that the browser may take
CLOSED_AFTER = 2.0  # seconds for a page to leave, once its user has signed out
# between two attempts of one page, which may read new values every second
RENEW_AFTER = 2.0
SIGN_IN_AGAIN = "Your session has ended. Sign in again in another tab, then repeat."
# what somebody has entered, which is kept though nothing may be done with it yet
_INPUT = "update:"

log = logging.getLogger(__name__)
_attempts: weakref.WeakKeyDictionary[Client, float] = weakref.WeakKeyDictionary()


def guard_sockets(sessions: BrowserSessions | None) -> None:
    """Let sockets act only on the page that they have opened, while its session lasts.

    Args:
        sessions: of browsers; None if nobody signs in.
    """
    sio = core.sio

    async def connect(sid: str, environ: dict[str, Any], _auth: object = None) -> None:
        query = parse_qs(environ.get("QUERY_STRING", ""))
        if not _opened_by(query.get("client_id", [""])[0], sid):
            raise ConnectionRefusedError("this page was opened by somebody else")
        await nicegui._on_connect(sid, environ, _auth)

    async def handshake(sid: str, data: dict[str, Any]) -> bool:
        if not _opened_by(data.get("client_id"), sid):
            return False
        accepted: bool = await nicegui._on_handshake(sid, data)
        return accepted

    def event(sid: str, message: dict[str, Any]) -> None:
        client = _page_of(sid, message)
        if client is None:
            return
        session = session_of(client.request)
        if sessions is None or session is None:
            nicegui._on_event(sid, message)
        elif not sessions.has_ended(session):
            background_tasks.create(_note_use(sessions, session), name="use of a session")
            nicegui._on_event(sid, message)
        elif _is_input(client, message):
            nicegui._on_event(sid, message)
        else:
            repeat = _repeat(sessions, client, sid, message)
            background_tasks.create(repeat, name="renewal of a session")

    sio.on("connect", connect)
    sio.on("handshake", handshake)
    sio.on("event", event)
    for name, handler in (
        ("javascript_response", nicegui._on_javascript_response),
        ("ack", nicegui._on_ack),
        ("log", nicegui._on_log),
    ):
        sio.on(name, _of_own_page(handler))


def session_of(request: Request) -> Session | None:
    """Return the session of a request, or that an open page acts with; None without one."""
    found: Session | None = request.state.session
    return found


def attach(client_id: str, session: Session) -> None:
    """Let an open page continue with a new session of the same person.

    Args:
        client_id: of the page.
        session: the new one.

    Raises:
        Forbidden: somebody else has opened the page.
        NotFound: there is no such page any more.
    """
    client = Client.instances.get(client_id)
    if client is None:
        raise NotFound("this page is not open any more; reload it")
    if _principal(client).name != session.principal.name:
        raise Forbidden(
            f"this page was opened by somebody else than {session.principal.name}; reload it"
        )
    client.request.state.principal = session.principal
    client.request.state.session = session
    _attempts.pop(client, None)


async def renew(client: Client, asked: bool = False) -> bool:
    """Let a page whose session has ended continue with that which its browser has now.

    Args:
        client: the page.
        asked: whether its user has just asked for something, maybe right after signing in; else
            a page is not tried again too soon.

    Returns:
        Whether it has one.
    """
    if not client.has_socket_connection:
        return False
    recent = time.monotonic() - _attempts.get(client, float("-inf")) < RENEW_AFTER
    if recent and not asked:
        return False
    _attempts[client] = time.monotonic()
    code = (
        f"return (await fetch('{ATTACH}', {{method: 'POST', headers: {{'Content-Type':"
        f" 'application/json'}}, body: JSON.stringify({{client: '{client.id}'}})}})).status"
    )
    try:
        status: object = await client.run_javascript(code, timeout=RENEWED_WITHIN)
    except TimeoutError:
        return False
    return status == HTTPStatus.NO_CONTENT


def close_pages(session: Session) -> None:
    """Lead the open pages of a session, whose user has signed out, to signing in."""
    for client in list(Client.instances.values()):
        if client.is_deleted or client._request is None:
            continue
        if session_of(client.request) == session:
            client.run_javascript("location.reload()")
            background_tasks.create(_disconnect(client), name="end of a page")


async def _disconnect(client: Client) -> None:
    """Disconnect a page that has not left by itself."""
    await asyncio.sleep(CLOSED_AFTER)
    for sid in list(client._socket_to_document_id):
        await core.sio.disconnect(sid)


def _page_of(sid: str, message: dict[str, Any]) -> Client | None:
    """Return the page that a message is for; None if its socket has not opened it."""
    client = Client.instances.get(message["client_id"])
    return client if client is not None and client.id in core.sio.rooms(sid) else None


def _of_own_page(handler: Callable[[str, dict[str, Any]], None]) -> Callable[..., None]:
    def handle(sid: str, message: dict[str, Any]) -> None:
        if _page_of(sid, message) is not None:
            handler(sid, message)

    return handle


def _opened_by(client_id: object, sid: str) -> bool:
    """Return whether the person of a socket has opened a page, or there is no such page."""
    client = Client.instances.get(str(client_id))
    if client is None:
        return True  # NiceGUI lets the browser reload it
    state = core.sio.get_environ(sid)["asgi.scope"].get("state", {})
    principal: Principal | None = state.get("principal")
    return principal is not None and principal.name == _principal(client).name


def _principal(client: Client) -> Principal:
    found: Principal = client.request.state.principal
    return found


def _is_input(client: Client, message: dict[str, Any]) -> bool:
    element = client.elements.get(message["id"])
    listener = element._event_listeners.get(message["listener_id"]) if element else None
    return listener is not None and listener.type.startswith(_INPUT)


async def _note_use(sessions: BrowserSessions, session: Session) -> None:
    try:
        await asyncio.to_thread(sessions.require, session, used=True)
    except SessionEnded:
        log.debug("a session has ended while its page is open")


async def _repeat(
    sessions: BrowserSessions, client: Client, sid: str, message: dict[str, Any]
) -> None:
    """Do what was asked of a page once it has a session again; state what to do if it has none."""
    renewed = await renew(client, asked=True)
    session = session_of(client.request)
    # a browser may claim what it likes
    if renewed and session is not None and not sessions.has_ended(session):
        nicegui._on_event(sid, message)
    else:
        with client:
            ui.notify(SIGN_IN_AGAIN, type="warning", close_button="Close", timeout=0)
