"""Authentication of all requests and websockets, before anything else of them is read.

What a caller may do is not decided here.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_assets.discovery.errors import error_response
from mlops_assets.errors import IssuerUnreachable, StorageError, Unauthenticated
from mlops_assets.hub.rest.errors import Refused, problem
from mlops_assets.hub.sign_in import documents
from mlops_assets.hub.sign_in.people import People
from mlops_assets.hub.sign_in.requests import (
    SAFE_METHODS,
    SIGN_IN,
    Area,
    area_of,
    is_form,
    is_own,
    names_own,
    open_origin,
    origin_of,
    return_path,
)
from mlops_assets.hub.sign_in.sessions import Session
from mlops_assets.identity.bearer import Bearers, sent_token
from mlops_assets.logs import add_log_fields
from mlops_assets.principals import Principal

RETRY_SECONDS = 10
# the path of the proxy before the hub, which NiceGUI takes from any caller into its pages
_PREFIX = b"x-forwarded-prefix"
_WITH_TOKENS = (Area.STAC, Area.PROGRAMS, Area.DAGSTER)

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Entrance:
    """The kinds of callers that get in.

    Attributes:
        bearers: accepted tokens of programs.
        anyone: principal of callers who are not authenticated, where they need not be.
        people: those who sign in; None if none can.
        local: the only user of this machine, who needs no sign-in; None if there are others.
        pages: whether there are pages; without them all paths are for programs.
    """

    bearers: Bearers
    anyone: Principal
    people: People | None = None
    local: Principal | None = None
    pages: bool = False


@dataclass(frozen=True)
class _Caller:
    """A caller: a program, or a person with a session."""

    principal: Principal
    session: Session | None = None


class Authentication:
    """ASGI middleware that lets only authenticated callers through.

    The state of a request has the `principal`, and the `session` of a person who has signed in.
    """

    def __init__(self, app: ASGIApp, entrance: Entrance) -> None:
        """Guard an app."""
        self._app = app
        self._entrance = entrance

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond why the caller does not get in, or pass the request on."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        scope["headers"] = [each for each in scope["headers"] if each[0] != _PREFIX]
        try:
            found = await self._caller(scope)
        except Unauthenticated as error:
            found = self._refusal(scope, HTTPStatus.UNAUTHORIZED, str(error))
        except Refused as error:
            found = self._refusal(scope, error.status, str(error))
        except (IssuerUnreachable, StorageError) as error:
            # the caller, who is not authenticated, gets no details
            log.warning("a caller could not be authenticated: %s", error)
            detail = "the token cannot be checked at present; try again"
            found = self._refusal(scope, HTTPStatus.SERVICE_UNAVAILABLE, detail)
        if isinstance(found, _Caller):
            own = {"principal": found.principal, "session": found.session}
            scope["state"] = {**scope.get("state", {}), **own}
            add_log_fields(principal=found.principal.name)
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # before it is accepted, which servers respond to with 403
            await send({"type": "websocket.close", "code": 1008})
        else:
            await found(scope, receive, send)

    async def _caller(self, scope: Scope) -> _Caller | Response:
        """Return the caller, or what it gets instead of what it has requested.

        Raises:
            IssuerUnreachable: a token cannot be checked at present.
            Refused: a page of another site has caused the request.
            StorageError: the registry cannot be read.
            Unauthenticated: what was sent is not valid, or something is missing.
        """
        entrance = self._entrance
        headers = Headers(scope=scope)
        method = scope.get("method", "GET")
        area = self._area(scope["path"], method)
        anyone = _Caller(entrance.anyone)
        if area is Area.PROBES:
            return anyone
        if entrance.local is not None and open_origin(headers) is None:
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "this hub is open to its own machine only, under http://localhost or"
                " http://127.0.0.1 and without a proxy; to serve others configure sign-in, see"
                " docs/sign-in.md",
            )
        if area in (Area.OPEN, Area.GIT_WEBHOOKS):
            return anyone
        if self._is_program(area, scope, headers):
            token = sent_token(headers.getlist("authorization"))
            return _Caller(await entrance.bearers.principal(token))
        found = await self._person(scope, headers, area)
        if found is not None:
            return found
        if area in (Area.STAC, Area.SIGN_IN):
            return anyone
        if area is Area.PROGRAMS or scope["type"] == "websocket" or _is_of_page(scope["path"]):
            sent_token(headers.getlist("authorization"))  # states what to send
            raise Unauthenticated("send a bearer token, or sign in")
        return self._no_page(scope, headers)

    def _area(self, path: str, method: str) -> Area:
        area = area_of(path, method)
        always = area in (Area.STAC, Area.PROBES, Area.GIT_WEBHOOKS)
        return area if self._entrance.pages or always else Area.PROGRAMS

    def _is_program(self, area: Area, scope: Scope, headers: Headers) -> bool:
        if "authorization" not in headers or area not in _WITH_TOKENS:
            return False
        people = self._entrance.people
        return people is None or not people.is_of_gateway(headers, _peer(scope))

    async def _person(self, scope: Scope, headers: Headers, area: Area) -> _Caller | None:
        """Return the person by what their browser adds to each request, if a page of ours made it.

        Raises:
            Refused: a page of another site has made it.
        """
        people, local = self._entrance.people, self._entrance.local
        origin = people.origin if people is not None else open_origin(headers)
        if origin is None or (people is None and local is None):
            return None
        socket = scope["type"] == "websocket"
        method = "POST" if socket else scope["method"]
        own = is_own(headers, method, origin) and (not socket or "origin" in headers)
        changes = socket or method not in SAFE_METHODS
        # a program on this machine has no browser; where there are cookies, one is needed
        if changes and own and not socket and people is not None:
            own = names_own(headers)
        if changes and not own:
            if area is Area.STAC:
                return None
            raise Refused(
                HTTPStatus.FORBIDDEN,
                f"this request is not of a page of {origin}; programs send a bearer token",
            )
        if not own:
            return None
        if method == "POST" and not socket and area in _WITH_TOKENS and is_form(headers):
            raise Refused(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
                "send the body with Content-Type: application/json",
            )
        if local is not None:
            return _Caller(local)
        session = None if people is None else await people.session(headers, _peer(scope))
        return None if session is None else _Caller(session.principal, session)

    def _no_page(self, scope: Scope, headers: Headers) -> Response:
        """Return what a browser gets whose user is not known."""
        people = self._entrance.people
        if people is None:
            return documents.not_configured()
        if people.gateway is not None:
            return documents.unknown_to_gateway()
        if scope["method"] not in ("GET", "HEAD"):
            return problem(HTTPStatus.UNAUTHORIZED, "sign in first")
        target = return_path(_path(scope))
        host = origin_of(f"http://{headers.get('host', '')}").removeprefix("http://")
        if host != people.origin.partition("://")[2]:
            # cookies and the provider's way back are of the declared host
            return RedirectResponse(f"{people.origin}{target}", HTTPStatus.TEMPORARY_REDIRECT)
        return RedirectResponse(f"{SIGN_IN}?to={quote(target, safe='')}", HTTPStatus.SEE_OTHER)

    def _refusal(self, scope: Scope, status: int, detail: str) -> Response:
        headers = {}
        if status == HTTPStatus.UNAUTHORIZED:
            headers["WWW-Authenticate"] = "Bearer"
        elif status == HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(RETRY_SECONDS)
        area = self._area(scope["path"], scope.get("method", "GET"))
        if area is Area.STAC:
            return _stac_refusal(status, detail, headers)
        if area in (Area.PAGES, Area.SIGN_IN):
            return documents.message("The hub cannot be used", detail, status, headers)
        return problem(status, detail, headers)


def _peer(scope: Scope) -> str | None:
    client = scope.get("client")
    return client[0] if client else None


def _is_of_page(path: str) -> bool:
    """Return whether a path is one that a page requests, not one that its user opens."""
    return path.startswith("/_nicegui")


def _path(scope: Scope) -> str:
    """Return path and query of a request, as a link has them."""
    path = quote(scope["path"], safe="/@:=,+~!$&'()*;")
    query = scope.get("query_string", b"").decode("latin-1")
    return f"{path}?{query}" if query else path


def _stac_refusal(status: int, detail: str, headers: dict[str, str]) -> Response:
    """Return a refusal as the STAC API has errors, which pages of other sites may read."""
    found = error_response(status, HTTPStatus(status).phrase.replace(" ", ""), detail)
    found.headers.update({**headers, "Access-Control-Allow-Origin": "*"})
    return found
