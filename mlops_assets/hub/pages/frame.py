"""The frame of every page: header, navigation, and errors as part of the page."""

from __future__ import annotations

import functools
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec

from nicegui import ui

from mlops_assets.errors import MlopsError
from mlops_assets.hub.pages.caller import principal
from mlops_assets.text.secret_urls import redacted

P = ParamSpec("P")
SECTIONS = {"Home": "/", "Training data": "/data", "Runs": "/runs", "Models": "/models"}

log = logging.getLogger(__name__)


def page(
    path: str, title: str
) -> Callable[[Callable[P, Awaitable[None]]], Callable[P, Awaitable[None]]]:
    """Return a decorator of functions that build a page within the frame.

    An error of ours becomes part of the page, any other one is logged.

    Args:
        path: of the page, with parameters as FastAPI has them.
        title: of the page.
    """

    def decorate(build: Callable[P, Awaitable[None]]) -> Callable[P, Awaitable[None]]:
        @ui.page(path, title=f"{title} · mlops_assets")
        @functools.wraps(build)
        async def framed(*args: P.args, **kwargs: P.kwargs) -> None:
            with frame(path):
                try:
                    await build(*args, **kwargs)
                except MlopsError as error:
                    problem(str(error))
                except Exception:
                    # a page shows no traceback, whatever fails
                    log.exception("the page %s has failed", path)
                    problem("This page has failed; the log of the server has the reason.")

        return framed

    return decorate


@contextmanager
def frame(path: str) -> Iterator[None]:
    """Build header and navigation around the content of a page."""
    with ui.header().classes("items-center"):
        for name, target in SECTIONS.items():
            ui.link(name, target)
        ui.space()
        ui.label(principal().name)
    with ui.column().classes("w-full").props("role=main"):
        yield


def problem(text: str) -> None:
    """Show what went wrong, and what to do."""
    with ui.card().props("role=alert"):
        ui.label(redacted(text))
