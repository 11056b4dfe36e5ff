"""The principals of requests, and what each of them may do.

Whoever has no token is the local user, where the server listens to this machine only and asks for
none.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from mlops_assets.errors import (
    Forbidden,
    IssuerUnreachable,
    StorageError,
    Unauthenticated,
)
from mlops_assets.identity.bearer import Bearers, sent_token
from mlops_assets.identity.declaration import is_loopback
from mlops_assets.logs import add_log_fields
from mlops_assets.principals import Principal, Role
from mlops_assets.serving.errors import refusal

# a token that was accepted is not checked again for so long; one that is revoked works until then
KEPT_SECONDS = 5.0
MAX_KEPT = 10_000  # tokens
# headers of proxies and of web pages
_FOREIGN = frozenset({b"x-forwarded-for", b"forwarded", b"origin"})
# whoever probes a server has no token
OPEN_PATHS = frozenset({"/v2/health/live", "/v2/health/ready"})

log = logging.getLogger(__name__)


class Right(Enum):
    """What a caller may do: the role that it needs, and the action for the message."""

    READ = (Role.VIEWER, "read what models are served")
    INFER = (Role.VIEWER, "send inference requests")
    METRICS = (Role.VIEWER, "read metrics")
    TRUTH = (Role.SCIENTIST, "add labels of requests")
    LOAD = (Role.APPROVER, "load and unload models")
    DELETE = (Role.OPERATOR, "delete logged requests")


def require(request: Request, right: Right) -> Principal:
    """Return the principal of a request, who has a right.

    Args:
        request: the request.
        right: what it does.

    Raises:
        Forbidden: the principal does not have it.
    """
    principal: Principal = request.state.principal
    principal.require(*right.value)
    return principal


@dataclass
class SignIn:
    """Who callers are.

    Attributes:
        bearers: tokens that are accepted; None where everyone is the local user.
        local: the local user.
    """

    bearers: Bearers | None
    local: Principal
    _kept: dict[bytes, tuple[float, Principal]] = field(default_factory=dict)

    async def principal(self, headers: Headers) -> Principal:
        """Return the principal of a request.

        Args:
            headers: of the request.

        Raises:
            Unauthenticated: it has no token that is accepted.
            Forbidden: it needs none, but does not come from this machine.
            IssuerUnreachable: the token cannot be checked at present.
            StorageError: the registry cannot be read.
        """
        if self.bearers is None:
            _check_local(headers.raw)
            return self.local
        token = sent_token(headers.getlist("authorization"))
        key = hashlib.sha256(token.encode()).digest()
        now = time.monotonic()
        until, principal = self._kept.get(key, (0.0, self.local))
        if until < now:
            principal = await self.bearers.principal(token)
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            self._kept[key] = (now + KEPT_SECONDS, principal)
        return principal


def _check_local(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Check that a request without a token comes from a program of this machine.

    A page of any site that is open in a browser can send requests to this machine, and can read
    the answers once it has its own name resolve to it (DNS rebinding); a proxy brings requests of
    others.

    Raises:
        Forbidden: it may not.
    """
    site = b"none"
    forwarded: bytes | None = None
    for name, value in headers:
        if name == b"host" and not _is_local(value):
            raise Forbidden(
                f"the request is for the host {value[:100].decode('latin-1')!r}, and without"
                " sign-in only this machine is answered: ask for 127.0.0.1, or start the server"
                " with tokens"
            )
        if name == b"sec-fetch-site":
            site = value
        elif name in _FOREIGN:
            forwarded = name
    if site not in (b"none", b"same-origin"):
        forwarded = b"sec-fetch-site"
    if forwarded is not None:
        raise Forbidden(
            f"the request has the header {forwarded.decode()}, so it comes from a proxy or a web"
            " page; start the server with tokens for these"
        )


@lru_cache(256)
def _is_local(host: bytes) -> bool:
    """Return whether the value of the header `Host` names this machine."""
    text = host.decode("latin-1")
    name = text if text.endswith("]") else text.rsplit(":", 1)[0]
    return is_loopback(name.strip("[]"))


class Authentication:
    """ASGI middleware that notes the principal of each request, or refuses it."""

    def __init__(self, app: ASGIApp, sign_in: SignIn) -> None:
        """Guard an app.

        Args:
            app: the app.
            sign_in: who callers are.
        """
        self._app = app
        self._sign_in = sign_in

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or respond 401, 403 or 503."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            try:
                principal = await self._sign_in.principal(Headers(scope=scope))
            except Unauthenticated as error:
                await refusal(401, str(error))(scope, receive, send)
                return
            except Forbidden as error:
                await refusal(403, str(error))(scope, receive, send)
                return
            except (IssuerUnreachable, StorageError) as error:
                # the caller, who is not authenticated, gets no details
                log.warning("a token could not be checked: %s", error)
                await refusal(503, "the token cannot be checked at present; try again")(
                    scope, receive, send
                )
                return
            scope["state"] = {**scope.get("state", {}), "principal": principal}
            add_log_fields(principal=principal.name)
        await self._app(scope, receive, send)
