"""Work on behalf of the user of a page: reading for it, and what its buttons do."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Concatenate, ParamSpec, TypeVar

from fastapi.concurrency import run_in_threadpool
from nicegui import app, ui

from mlops_assets.errors import MlopsError, SessionEnded
from mlops_assets.hub.context import Hub
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
    found: Principal = ui.context.client.request.state.principal
    return found


async def read(
    function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
) -> T:
    """Return what a function of a store returns, for the user of the page; it runs in a thread.

    Raises:
        SessionEnded: the session has ended.
        MlopsError: of the function.
    """
    store = hub().store.acting(principal())
    return await run_in_threadpool(function, store, *args, **kwargs)


async def perform(
    function: Callable[Concatenate[Store, P], T], *args: P.args, **kwargs: P.kwargs
) -> T | None:
    """Do what a button is for; what its user has entered stays as it is if that fails.

    Returns:
        What the function returns; None if it failed, which the page then shows.
    """
    try:
        return await read(function, *args, **kwargs)
    except SessionEnded as error:
        ui.notify(f"{error}. Sign in again in another tab, then repeat.", type="warning")
    except MlopsError as error:
        ui.notify(
            redacted(str(error)), type="negative", multi_line=True, timeout=0, close_button="Close"
        )
    return None
