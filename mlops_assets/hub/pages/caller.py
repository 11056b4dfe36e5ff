"""Work on behalf of the user of a page: reading for it, and what its buttons do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool
from nicegui import Client, app, ui

from mlops_assets.errors import MlopsError, SessionEnded
from mlops_assets.hub.context import Hub
from mlops_assets.hub.sign_in.open_pages import SIGN_IN_AGAIN, renew, session_of
from mlops_assets.hub.sign_in.sessions import ENDED
from mlops_assets.principals import Principal
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

P = ParamSpec("P")
T = TypeVar("T")

log = logging.getLogger(__name__)


def hub() -> Hub:
    """Return what the pages share."""
    found: Hub = app.state.hub
    return found


def principal() -> Principal:
    """Return the user of the page.

    Raises:
        SessionEnded: their session has ended since the page was opened.
    """
    request = ui.context.client.request
    session, sessions = session_of(request), hub().sessions
    if session is not None and sessions is not None and sessions.has_ended(session):
        raise SessionEnded(ENDED)
    found: Principal = request.state.principal
    return found


async def read(
    function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return what a function of a store returns, for the user of the page; it runs in a thread.

    Raises:
        SessionEnded: the session has ended, and the browser has no other.
        MlopsError: of the function.
    """
    client = ui.context.client

    def work() -> T:
        store = hub().store.acting(_acting(client))
        return function(store, *args, **kwargs)

    try:
        return await run_in_threadpool(work)
    except SessionEnded:
        if not await renew(client):
            raise
    return await run_in_threadpool(work)


def _acting(client: Client) -> Principal:
    """Return the user of a page, whose session the registry has now; it may have to be read.

    Raises:
        SessionEnded: the session has ended.
    """
    session, sessions = session_of(client.request), hub().sessions
    if session is None or sessions is None:
        found: Principal = client.request.state.principal
        return found
    return sessions.require(session).principal


async def perform(
    function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
) -> T | None:
    """Do what a button is for; what its user has entered stays as it is if that fails.

    Returns:
        What the function returns; None if it failed, which the page then shows.
    """
    try:
        return await read(function, *args, **kwargs)
    except SessionEnded:
        ui.notify(SIGN_IN_AGAIN, type="warning", timeout=0, close_button="Close")
    except MlopsError as error:
        ui.notify(
            redacted(str(error)), type="negative", multi_line=True, timeout=0, close_button="Close"
        )
    return None
