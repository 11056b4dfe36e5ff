"""The frame of every page: header, navigation, and errors as part of the page."""

from __future__ import annotations

import functools
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import ParamSpec, TypeAlias

from fastapi import Response
from nicegui import ui

from mlops_assets.errors import Hidden, MlopsError, NameRefused, NotFound, SessionEnded
from mlops_assets.hub.pages.caller import principal
from mlops_assets.hub.pages.header import header
from mlops_assets.hub.pages.live import note_start, notice
from mlops_assets.hub.pages.parts.cards import title as heading
from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.hub.pages.unopened import forget_oldest
from mlops_assets.hub.sign_in.open_pages import SIGN_IN_AGAIN
from mlops_assets.text.secret_urls import redacted

P = ParamSpec("P")
# adds the content of a page; what it returns is sent instead of the page
Build: TypeAlias = Callable[P, Awaitable[Response | None]]
PRODUCT = "mlops_assets"
STATIC = "/hub-static"  # path of our own style sheet and script
MAX_BUILD_SECONDS = 60  # NiceGUI responds with an error page of its own after that
FAILED = "This page has failed; the log of the server has the reason."
_STATUS = {
    NotFound: HTTPStatus.NOT_FOUND,
    Hidden: HTTPStatus.NOT_FOUND,
    NameRefused: HTTPStatus.NOT_FOUND,
}

log = logging.getLogger(__name__)


def page(path: str, title: str) -> Callable[[Build[P]], Build[P]]:
    """Return a decorator of functions that build a page within the frame.

    An error of ours becomes part of the page, with the status of a page that does not exist where
    something is not found; any other one is logged.

    Args:
        path: of the page, with parameters as FastAPI has them.
        title: of the page, in the browser's tab; with the values of parameters in braces, as in
            `Model {name}`.
    """

    def decorate(build: Build[P]) -> Build[P]:
        @ui.page(path, title=f"{title} · {PRODUCT}", response_timeout=MAX_BUILD_SECONDS)
        @functools.wraps(build)
        async def framed(*args: P.args, **kwargs: P.kwargs) -> Response | None:
            given = inspect.signature(build).bind(*args, **kwargs).arguments
            ui.page_title(f"{_filled(title, given)} · {PRODUCT}")
            return await framed_page(functools.partial(build, *args, **kwargs), path)

        return framed

    return decorate


async def framed_page(build: Build[[]], path: str) -> Response | None:
    """Build a page within the frame, whatever fails.

    Args:
        build: adds the content.
        path: of the page, for the log and for the section that is marked.

    Returns:
        What the browser gets instead of the page, such as a redirection; None for the page.
    """
    forget_oldest()
    ui.context.client.on_exception(_show_failure)
    found = await note_start()
    with frame(path):
        notice(found.notice)
        try:
            return await build()
        except MlopsError as error:
            status = _STATUS.get(type(error))
            if status is not None:
                ui.context.client.status_code = status
                heading("Not found")
            problem(str(error))
        except Exception:
            # broad: a page shows no traceback, whatever fails
            log.exception("the page %s has failed", path)
            ui.context.client.status_code = HTTPStatus.INTERNAL_SERVER_ERROR
            problem(FAILED)
    return None


@contextmanager
def frame(path: str) -> Iterator[None]:
    """Build header and navigation around the content of a page.

    Args:
        path: of the page, whose section is marked.
    """
    ui.add_head_html(
        f'<link rel="stylesheet" href="{STATIC}/hub.css">'
        f'<script src="{STATIC}/hub.js" defer></script>'
    )
    ui.dark_mode(_theme())
    header(path, principal())
    # Quasar's page is the landmark `main`
    with ui.element("div").classes("hub-main") as main:
        ui.skip_link(target=main)
        yield


def problem(content: str) -> None:
    """Show what went wrong, and what to do."""
    with ui.element("div").classes("hub-problem").props("role=alert"):
        text("p", redacted(content))


def _theme() -> bool | None:
    """Return whether the user wants dark pages; None as their system has it."""
    chosen = ui.context.client.request.cookies.get("mlops_theme")
    return {"dark": True, "light": False}.get(chosen or "")


def _show_failure(error: Exception) -> None:
    """Show that what a button or an update has begun failed; the page stays as it is."""
    if isinstance(error, SessionEnded):
        ui.notify(SIGN_IN_AGAIN, type="warning", timeout=0, close_button="Close")
    elif isinstance(error, MlopsError):
        ui.notify(
            redacted(str(error)), type="negative", multi_line=True, timeout=0, close_button="Close"
        )
    else:
        log.error("an action of a page has failed", exc_info=error)
        ui.notify("This has failed; the log of the server has the reason.", type="negative")


def _filled(title: str, parameters: dict[str, object]) -> str:
    for name, value in parameters.items():
        title = title.replace(f"{{{name}}}", str(value))
    return title
