"""Bearer tokens of all kinds and their principals.

They are tokens of the registry, one shared token, or tokens of an issuer.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_assets.errors import SettingsError, Unauthenticated
from mlops_assets.identity.tokens import identifier, principal_of
from mlops_assets.principals import SHARED_NAME, Principal, Role
from mlops_assets.registry import Registry

if TYPE_CHECKING:
    # its libraries take time and memory that a server without an issuer does not need
    from mlops_assets.identity.issuer import Issuer

MIN_SHARED = 16  # characters; fewer can be guessed
MAX_TOKEN = 16_384  # characters
# everyone who has the shared token
SHARED = Principal(SHARED_NAME, frozenset({Role.SCIENTIST}))
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class Bearers:
    """The accepted tokens: those of the registry, the shared token, and those of an issuer."""

    def __init__(
        self, registry: Registry, shared: str | None = None, issuer: Issuer | None = None
    ) -> None:
        """Accept tokens of the registry, and if given a shared token and those of an issuer.

        Args:
            registry: registry whose tokens are accepted.
            shared: token that callers may share; a person's own token is not accepted as one.
            issuer: issuer whose tokens are accepted.

        Raises:
            SettingsError: the shared token can be guessed.
        """
        self._registry = registry
        self._issuer = issuer
        self._shared = _shared(shared)

    @property
    def some(self) -> bool:
        """True if a token would be accepted, unless the issuer signs none."""
        return self._shared is not None or self._issuer is not None or self._registry.has_tokens()

    async def principal(self, token: str) -> Principal:
        """Return the principal of a token.

        Args:
            token: text after `Bearer` in the header `Authorization`.

        Returns:
            The principal with the roles of the token.

        Raises:
            IssuerUnreachable: it cannot be checked at present.
            StorageError: the registry cannot be read.
            Unauthenticated: it is not accepted.
        """
        if len(token) > MAX_TOKEN:
            raise Unauthenticated(f"the token has more than {MAX_TOKEN} characters")
        if identifier(token):
            return await asyncio.to_thread(principal_of, self._registry, token)
        if self._shared is not None and hmac.compare_digest(token.encode(), self._shared.encode()):
            return SHARED
        if self._issuer is not None and _JWT.fullmatch(token):
            return await self._issuer.principal(token)
        raise Unauthenticated("the token is unknown")


def checked_bearers(bearers: Bearers) -> Bearers:
    """Return the accepted tokens.

    Raises:
        SettingsError: there are none.
    """
    if not bearers.some:
        raise SettingsError(
            "no token would be accepted: create one with 'mlops token create NAME --role"
            " scientist', name an issuer in MLOPS_IDENTITY, or set MLOPS_API_TOKEN to what 'openssl"
            " rand -hex 32' prints"
        )
    return bearers


def sent_token(values: Sequence[str]) -> str:
    """Return the token that a request has sent.

    Args:
        values: of its headers `Authorization`.

    Raises:
        Unauthenticated: it has sent none, or several.
    """
    kind, _, token = values[0].partition(" ") if len(values) == 1 else ("", "", "")
    if kind.lower() != "bearer" or not token.strip():
        raise Unauthenticated("send exactly one bearer token: 'Authorization: Bearer …'")
    return token.strip()


def _shared(token: str | None) -> str | None:
    """Return the token that callers may share.

    A person's own token, which our client reads from the same setting, is not shared.

    Raises:
        SettingsError: it is too short, or has other characters than ASCII.
    """
    if token is None or identifier(token) or (token.startswith("eyJ") and _JWT.fullmatch(token)):
        return None
    if len(token) < MIN_SHARED or not token.isascii() or not token.isprintable():
        raise SettingsError(
            f"MLOPS_API_TOKEN needs at least {MIN_SHARED} ASCII characters: set it to what 'openssl"
            " rand -hex 32' prints, or leave it out and create tokens with 'mlops token create'"
        )
    return token
