"""The pages as part of the hub's app: style, script, and what has no page."""

from __future__ import annotations

from pathlib import Path

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from nicegui import Client, app, ui
from nicegui.page import page as nicegui_page

from mlops_assets import hub as package
from mlops_assets.errors import NotFound
from mlops_assets.hub.context import Hub
from mlops_assets.hub.pages.frame import FAILED, PRODUCT, STATIC, framed_page, problem

FOLDER = Path(package.__file__).parent / "static"
# that a page is kept without its websocket, and from which NiceGUI derives when a browser that is
# silent is cut off: after 0.4 of it, which a busy machine needs
RECONNECT_SECONDS = 15.0


def serve_pages(server: FastAPI, project: Hub) -> None:
    """Serve all pages that are registered.

    Args:
        server: app that the pages become part of; its own routes come first.
        project: what the pages show.
    """
    app.state.hub = project
    app.add_static_files(STATIC, FOLDER, max_cache_age=300)
    app.add_exception_handler(RequestValidationError, _invalid_parameters)
    app.on_page_exception(lambda: problem(FAILED))
    ui.run_with(
        server,
        reconnect_timeout=RECONNECT_SECONDS,
        root=_no_page,
        title=PRODUCT,
        favicon=FOLDER / "favicon.svg",
        language="en-US",
        dark=None,
        show_welcome_message=False,
    )


async def _no_page(request: Request) -> None:
    """Build what is at a path without a page."""
    ui.page_title(f"Not found · {PRODUCT}")

    async def missing() -> None:
        raise NotFound(
            f"there is no page {request.url.path}; use the search, or the sections above"
        )

    await framed_page(missing, request.url.path)


async def _invalid_parameters(request: Request, error: Exception) -> Response:
    """Respond to a page whose parameters are not valid, within the frame."""

    async def missing() -> None:
        raise NotFound("the address of this page has a part that is not valid")

    with Client(nicegui_page("", title=f"Not found · {PRODUCT}"), request=request) as client:
        await framed_page(missing, request.url.path)
    return client.build_response(request, client.status_code)
