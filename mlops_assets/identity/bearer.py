"""Bearer tokens of all kinds, and who shows them.

They are tokens of the registry, one shared token, or tokens of an issuer.
"""

from __future__ import annotations

import asyncio
import hmac
import re

from mlops_assets.errors import SettingsError, Unauthenticated
from mlops_assets.identity.issuer import Issuer
from mlops_assets.identity.tokens import identifier, principal_of
from mlops_assets.principals import SHARED_NAME, Principal, Role
from mlops_assets.registry import Registry

MIN_SHARED = 16  # characters; fewer can be guessed
MAX_TOKEN = 16_384  # characters
# all who have the shared token; they are not told apart
SHARED = Principal(SHARED_NAME, frozenset({Role.SCIENTIST}))
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]*", re.ASCII)


class Bearers:
    """Everybody who may call.

    These have a token of the registry, the shared token, or a token of an issuer.
    """

    def __init__(
        self, registry: Registry, shared: str | None = None, issuer: Issuer | None = None
    ) -> None:
        """Accept tokens of the registry, and if given a shared token and those of an issuer.

        Raises:
            SettingsError: the shared token can be guessed.
        """
        self._registry, self._issuer = registry, issuer
        self._shared = _shared(shared)

    @property
    def some(self) -> bool:
        """Whether there is a token that would be accepted, as far as is known here."""
        return self._shared is not None or self._issuer is not None or self._registry.has_tokens()

    async def principal(self, token: str) -> Principal:
        """Return who shows a token.

        Raises:
            IssuerUnreachable: it cannot be checked at present.
            StorageError: the registry cannot be asked.
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
        raise Unauthenticated("the token is not known")


def _shared(token: str | None) -> str | None:
    """Return the token that callers may share.

    A person's own, which our client finds in the same setting, is none.

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
