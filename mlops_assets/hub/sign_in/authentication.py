"""Authentication of the API's callers by bearer token, before anything else of a request is read.

What a caller may do is not decided here.
"""

from __future__ import annotations

import logging
from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_assets.discovery.errors import error_response
from mlops_assets.errors import IssuerUnreachable, StorageError, Unauthenticated
from mlops_assets.hub.rest.errors import problem
from mlops_assets.identity.bearer import Bearers, sent_token
from mlops_assets.principals import Principal

RETRY_SECONDS = 10

log = logging.getLogger(__name__)


class BearerToken:
    """ASGI middleware that lets only requests with an accepted token through.

    Their state has the `principal`. Below one path, those without a token are of anyone.
    """

    def __init__(
        self,
        app: ASGIApp,
        bearers: Bearers,
        public: str,
        anyone: Principal,
        local: Principal | None = None,
    ) -> None:
        """Guard an app.

        Args:
            app: the app.
            bearers: accepted tokens.
            public: path below which requests need no token; one that is sent is checked.
            anyone: principal of those requests.
            local: principal of all other requests without a token; None if they are refused.
        """
        self._app = app
        self._bearers = bearers
        self._public = public
        self._anyone = anyone
        self._local = local

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond 401, or pass the request on.

        The response is 503 while the token cannot be checked.
        """
        if scope["type"] == "http":
            open_to_all = f"{scope['path']}/".startswith(f"{self._public}/")
            refusal = _stac_refusal if open_to_all else problem
            try:
                headers = Headers(scope=scope)
                if self._local is not None and "authorization" not in headers:
                    principal = self._local
                elif open_to_all and "authorization" not in headers:
                    principal = self._anyone
                else:
                    principal = await self._principal(headers)
            except Unauthenticated as error:
                found = refusal(HTTPStatus.UNAUTHORIZED, str(error), {"WWW-Authenticate": "Bearer"})
                await found(scope, receive, send)
                return
            except (IssuerUnreachable, StorageError) as error:
                # the caller, who is not authenticated, gets no details
                log.warning("a token could not be checked: %s", error)
                detail = "the token cannot be checked at present; try again"
                await refusal(503, detail, {"Retry-After": str(RETRY_SECONDS)})(
                    scope, receive, send
                )
                return
            scope["state"] = {**scope.get("state", {}), "principal": principal}
        await self._app(scope, receive, send)

    async def _principal(self, headers: Headers) -> Principal:
        return await self._bearers.principal(sent_token(headers.getlist("authorization")))


def _stac_refusal(status: int, detail: str, headers: dict[str, str]) -> Response:
    """Return a refusal as the STAC API has errors, which pages of other sites may read."""
    found = error_response(status, HTTPStatus(status).phrase.replace(" ", ""), detail)
    found.headers.update({**headers, "Access-Control-Allow-Origin": "*"})
    return found
