"""Headers by which a browser limits what pages and files of the hub can do.

Each inline script of a page has the nonce of its response; see `page_template`. NiceGUI compiles
templates, event handlers and the scripts of `run_javascript` in the browser, which takes
'unsafe-eval': a text of others that got into a page could still not begin a script.
"""

from __future__ import annotations

import secrets

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlops_assets.hub.sign_in.requests import API, Area, area_of

HSTS_SECONDS = 31_536_000
_ALWAYS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": (
        "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(),"
        " magnetometer=(), microphone=(), midi=(), payment=(), usb=()"
    ),
}
# files of others, which may be pages
_FILES = "default-src 'none'; frame-ancestors 'none'; sandbox"


def page_policy(nonce: str, tiles: str | None = None) -> str:
    """Return the content security policy of a page.

    Args:
        nonce: that its own scripts have.
        tiles: source of map tiles, if they are of another host.
    """
    directives = {
        "default-src": "'self'",
        "script-src": f"'self' 'nonce-{nonce}' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:" + (f" {tiles}" if tiles else ""),
        "font-src": "'self' data:",
        "connect-src": "'self'",
        "object-src": "'none'",
        "base-uri": "'self'",
        "frame-ancestors": "'none'",
        "form-action": "'self'",
    }
    return "; ".join(f"{name} {value}" for name, value in directives.items())


class SecurityHeaders:
    """ASGI middleware that adds the headers, where the app has not set others.

    The state of a request has the `nonce` of its page.
    """

    def __init__(self, app: ASGIApp, https: bool = False, tiles: str | None = None) -> None:
        """Add headers to responses.

        Args:
            app: the app.
            https: whether browsers reach the hub by https only.
            tiles: source of map tiles, if they are of another host.
        """
        self._app = app
        self._https = https
        self._tiles = tiles

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and add headers to its response."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        nonce = secrets.token_urlsafe(16)
        scope["state"] = {**scope.get("state", {}), "nonce": nonce}
        area = area_of(scope["path"], scope["method"])
        is_api = scope["path"].startswith(f"{API}/")

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _ALWAYS.items():
                    headers.setdefault(name, value)
                if self._https:
                    headers.setdefault("Strict-Transport-Security", f"max-age={HSTS_SECONDS}")
                if is_api:
                    headers.setdefault("Content-Security-Policy", _FILES)
                elif area not in (Area.STAC, Area.DAGSTER):
                    policy = page_policy(nonce, self._tiles)
                    headers.setdefault("Content-Security-Policy", policy)
                if area in (Area.PAGES, Area.PROGRAMS, Area.SIGN_IN):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        await self._app(scope, receive, send_with_headers)
