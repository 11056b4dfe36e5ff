"""The pages that need no session: sign-in, sign-out, and why neither is possible.

They are plain HTML without scripts, so that they work while everything else does not.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus

from starlette.responses import HTMLResponse

from mlops_assets.hub.sign_in.requests import SIGN_IN, SIGN_OUT
from mlops_assets.text.secret_urls import redacted
from mlops_assets.text.templates import template

MAX_DETAIL = 2_000  # characters
_EMPTY = {
    "action": None,
    "issuer": None,
    "target": None,
    "name": None,
    "detail": None,
    "link": None,
    "url": None,
}


def sign_in(issuer: str, target: str) -> HTMLResponse:
    """Return the page that offers to sign in.

    Args:
        issuer: the provider.
        target: path of the page that the browser returns to.
    """
    return _page("Sign in", HTTPStatus.OK, {}, issuer=issuer, target=target, action=SIGN_IN)


def sign_out(name: str) -> HTMLResponse:
    """Return the page that asks whether to sign out.

    Args:
        name: of the user.
    """
    return _page("Sign out", HTTPStatus.OK, {}, name=name, action=SIGN_OUT)


def continue_at(url: str) -> HTMLResponse:
    """Return the page that leads to one of the provider.

    A redirect would end where browsers check to which hosts a form may lead: the provider may
    have the sign-in done by others.

    Args:
        url: of the page of the provider.
    """
    return _page("One moment", HTTPStatus.OK, {}, url=url)


def signed_out() -> HTMLResponse:
    """Return the page after signing out where there is no provider to go to."""
    return message(
        "You are signed out", "Close the window, or sign in again.", HTTPStatus.OK, {}, SIGN_IN
    )


def message(
    title: str, detail: str, status: int, headers: Mapping[str, str], link: str | None = None
) -> HTMLResponse:
    """Return a page that states what has happened, and what to do.

    Args:
        title: of the page.
        detail: the text.
        status: of the response.
        headers: of the response.
        link: path of the page that signs in, if that helps.
    """
    return _page(title, status, headers, detail=redacted(detail)[:MAX_DETAIL], link=link)


def not_configured() -> HTMLResponse:
    """Return the page of a hub on which people cannot sign in."""
    return message(
        "Sign-in is not configured",
        "This hub takes tokens of programs, at /api and /stac. For pages, configure sign-in of"
        " people (docs/sign-in.md): 'sign_in' in the file of MLOPS_IDENTITY, or MLOPS_GATEWAY. If"
        " you are the only user of this machine, start it with 'mlops hub --open'.",
        HTTPStatus.UNAUTHORIZED,
        {},
    )


def unknown_to_gateway() -> HTMLResponse:
    """Return the page for those whom the gateway has not named."""
    return message(
        "You are not signed in",
        "The gateway before this hub has not stated who you are. Open the hub by the gateway's"
        " address and sign in there; if you have, its address or header is not the one that"
        " MLOPS_GATEWAY declares.",
        HTTPStatus.UNAUTHORIZED,
        {},
    )


def _page(
    title: str, status: int, headers: Mapping[str, str], **values: str | None
) -> HTMLResponse:
    page = template("mlops_assets.hub.sign_in", "page.html.j2")
    text = page.render(title=title, **{**_EMPTY, **values})
    return HTMLResponse(text, status, {**headers, "Cache-Control": "no-store"})
