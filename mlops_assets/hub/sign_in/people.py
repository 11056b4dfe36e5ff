"""People in a browser: known by the session of a cookie, or as a gateway states them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import Response

from mlops_assets.errors import SettingsError, Unauthenticated
from mlops_assets.hub.sign_in.provider import COMPLETED_WITHIN, Provider
from mlops_assets.hub.sign_in.requests import origin_of
from mlops_assets.hub.sign_in.sessions import BrowserSessions, Session
from mlops_assets.identity.declaration import Identity, is_secure
from mlops_assets.identity.gateway import Gateway
from mlops_assets.identity.issuer import Issuer
from mlops_assets.registry import Registry
from mlops_assets.registry.store import now

AUTHORIZATION = "authorization"
MAX_COOKIE = 200  # characters of a value
# for which an open page acts for whom a gateway has stated; the next action asks it again
PAGE_LIFE = timedelta(hours=1)


@dataclass(frozen=True)
class Cookie:
    """A cookie that only the hub itself sees.

    On https its name begins with `__Host-`, so that no neighbouring host or plain http can set it.
    On http, which is for this machine only, it has the port, as ports share their cookies.
    """

    name: str
    secure: bool

    @classmethod
    def of(cls, purpose: str, origin: str) -> Cookie:
        """Return the cookie of a purpose on an origin."""
        parts = urlsplit(origin)
        if parts.scheme == "https":
            return cls(f"__Host-mlops_{purpose}", secure=True)
        return cls(f"mlops_{purpose}_{parts.port or 80}", secure=False)

    def value(self, headers: Headers) -> str | None:
        """Return its value in a request; None if there is none, or several."""
        sent = "; ".join(headers.getlist("cookie"))
        if sent.count(f"{self.name}=") != 1:
            return None
        found = cookie_parser(sent).get(self.name)
        return found if found and len(found) <= MAX_COOKIE else None

    def set(self, response: Response, value: str, seconds: float) -> None:
        """Set it, for the requests of our own pages and for those that follow a link to them."""
        response.set_cookie(
            self.name,
            value,
            max_age=int(seconds),
            path="/",
            secure=self.secure,
            httponly=True,
            samesite="lax",
        )

    def clear(self, response: Response) -> None:
        """Remove it."""
        response.delete_cookie(
            self.name, path="/", secure=self.secure, httponly=True, samesite="lax"
        )


class People:
    """People on one hub, whose origin browsers know."""

    def __init__(
        self,
        origin: str,
        sessions: BrowserSessions,
        provider: Provider | None = None,
        gateway: Gateway | None = None,
        issuer: Issuer | None = None,
    ) -> None:
        """Know people by sessions that begin at a provider, or by a gateway.

        Args:
            origin: of the hub, as browsers have it.
            sessions: of browsers.
            provider: at which people sign in.
            gateway: that has authenticated them.
            issuer: checks the tokens of the gateway.
        """
        self.origin = origin
        self.sessions = sessions
        self.provider = provider
        self.gateway = gateway
        self._issuer = issuer
        self.session_cookie = Cookie.of("session", origin)
        self.sign_in_cookie = Cookie.of("sign_in", origin)

    async def session(self, headers: Headers, peer: str | None) -> Session | None:
        """Return the session of a request.

        Args:
            headers: of the request.
            peer: address that it comes from.

        Raises:
            IssuerUnreachable: the token of a gateway cannot be checked at present.
            StorageError: the registry cannot be read.
            Unauthenticated: what the gateway has sent is not valid.
        """
        if self.gateway is not None:
            return await self._of_gateway(self.gateway, headers, peer)
        secret = self.session_cookie.value(headers)
        if secret is None:
            return None
        return await asyncio.to_thread(self.sessions.of_secret, secret)

    def set_session(self, response: Response, secret: str) -> None:
        """Set the cookie of a new session, and clear that of the sign-in."""
        self.session_cookie.set(response, secret, self.sessions.length.total_seconds())
        self.sign_in_cookie.clear(response)

    def set_sign_in(self, response: Response, browser: str) -> None:
        """Set the cookie that binds a sign-in to the browser."""
        self.sign_in_cookie.set(response, browser, COMPLETED_WITHIN.total_seconds())

    def is_of_gateway(self, headers: Headers, peer: str | None) -> bool:
        """Return whether `Authorization` is the gateway's, not that of a program."""
        return (
            self.gateway is not None
            and self.gateway.token_header == AUTHORIZATION
            and AUTHORIZATION in headers
            and self.gateway.trusts(peer)
        )

    async def _of_gateway(
        self, gateway: Gateway, headers: Headers, peer: str | None
    ) -> Session | None:
        if not gateway.trusts(peer):
            return None
        expires = now() + PAGE_LIFE
        if gateway.token_header is not None:
            token = _only(headers, gateway.token_header)
            if token is None or self._issuer is None:
                return None
            kind, _, rest = token.partition(" ")
            sent = rest.strip() if kind.lower() == "bearer" else token
            return Session(await self._issuer.principal(sent), expires)
        name = _only(headers, str(gateway.name_header))
        if name is None:
            return None
        roles = _only(headers, str(gateway.roles_header)) or ""
        return Session(gateway.principal(_utf8(name), _utf8(roles)), expires)


def people_of(
    registry: Registry,
    base_url: str | None,
    identity: Identity | None,
    gateway: Gateway | None,
    issuer: Issuer | None,
) -> People | None:
    """Return how people are known on a hub; None if that is not configured.

    Args:
        registry: keeps sessions; of a principal who is an operator.
        base_url: of the hub for browsers.
        identity: the issuer, which may have a client for signing in.
        gateway: that has authenticated people before.
        issuer: checks tokens of the issuer.

    Raises:
        SettingsError: the settings do not fit together.
    """
    client = identity.sign_in if identity is not None else None
    if client is None and gateway is None:
        return None
    if client is not None and gateway is not None:
        raise SettingsError(
            "people sign in either here or at a gateway: leave out MLOPS_GATEWAY, or 'sign_in' in"
            " the file of MLOPS_IDENTITY"
        )
    origin = checked_origin(base_url)
    if gateway is not None:
        if gateway.token_header is not None and issuer is None:
            raise SettingsError(
                "MLOPS_GATEWAY has token_header, so that MLOPS_IDENTITY must name the issuer of"
                " those tokens"
            )
        return People(
            origin, BrowserSessions(registry, PAGE_LIFE, PAGE_LIFE), None, gateway, issuer
        )
    if identity is None or client is None or issuer is None:
        return None
    if client.client_secret is not None:
        client.client_secret.read("sign_in in the file of MLOPS_IDENTITY")
    idle, length = timedelta(minutes=client.idle_minutes), timedelta(hours=client.session_hours)
    provider = Provider(identity, client, issuer, registry, origin)
    return People(origin, BrowserSessions(registry, idle, length), provider)


def checked_origin(base_url: str | None) -> str:
    """Return the origin under which people reach the hub.

    Args:
        base_url: `MLOPS_PUBLIC_URL`.

    Raises:
        SettingsError: it is not set, is not the whole of a host, or others could read cookies.
    """
    if base_url is None:
        raise SettingsError(
            "people sign in with a browser, for which the hub must know its own address: set"
            " MLOPS_PUBLIC_URL, such as https://hub.example.org"
        )
    parts = urlsplit(base_url)
    if not is_secure(parts):
        raise SettingsError(
            f"MLOPS_PUBLIC_URL={base_url}: sign-in needs https, else cookies can be read on the"
            " way; put a reverse proxy with TLS before the hub"
        )
    if parts.path.strip("/"):
        raise SettingsError(
            f"MLOPS_PUBLIC_URL={base_url}: pages need a host of their own, without the path"
            f" {parts.path}; or serve the API only, with --no-pages"
        )
    return origin_of(base_url)


def _only(headers: Headers, name: str) -> str | None:
    """Return a header that the gateway has set.

    Raises:
        Unauthenticated: there are several, so that one may be its caller's.
    """
    values = headers.getlist(name)
    if len(values) > 1:
        raise Unauthenticated(f"the gateway has sent the header {name} more than once")
    return values[0].strip() or None if values else None


def _utf8(value: str) -> str:
    """Return the value of a header that has other characters than ASCII, which ASGI has as Latin-1.

    Raises:
        Unauthenticated: it is not UTF-8.
    """
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        raise Unauthenticated("the gateway has sent a name that is not UTF-8") from None
