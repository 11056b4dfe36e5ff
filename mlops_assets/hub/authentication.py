"""Who may call the API: whoever shows the token. Nothing of a request is read before that."""

from __future__ import annotations

import hmac

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_assets.errors import SettingsError
from mlops_assets.hub.problems import problem

SHORTEST = 16  # characters; fewer can be guessed


class BearerToken:
    """ASGI middleware that lets only requests with the token through."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        """Guard an app."""
        self._app, self._token = app, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or hand the request on."""
        if scope["type"] == "http":
            kind, _, shown = Headers(scope=scope).get("authorization", "").partition(" ")
            # compared in full in any case: how long it takes must not tell how much of it is right
            if not hmac.compare_digest(shown.strip().encode(), self._token) or kind.lower() != "bearer":
                refusal = problem(401, "show the token: 'Authorization: Bearer …'", {"WWW-Authenticate": "Bearer"})
                await refusal(scope, receive, send)
                return
        await self._app(scope, receive, send)


def checked_token(token: str | None) -> str:
    """Return the token callers must show.

    Raises:
        SettingsError: there is none, or it is too short or no ASCII.
    """
    if token is None or len(token) < SHORTEST or not token.isascii() or not token.isprintable():
        raise SettingsError(
            f"the API needs a token of at least {SHORTEST} ASCII characters that its callers show: set MLOPS_API_TOKEN "
            "to one, e.g. to what 'openssl rand -hex 32' prints"
        )
    return token
