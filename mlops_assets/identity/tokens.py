"""Tokens of the registry: `mlops_<id>_<secret>`.

A secret has 256 random bits, so that its plain sha256 can be kept: there is nothing to guess, and a
slow hash, as for passwords, would only slow down each request.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from datetime import timedelta

from mlops_assets.errors import Unauthenticated
from mlops_assets.principals import Principal, Role
from mlops_assets.registry import Registry, Token
from mlops_assets.registry.store import now

_FORM = re.compile(r"mlops_([0-9a-f]{12})_([0-9a-f]{64})")


def create_token(
    registry: Registry, name: str, roles: Iterable[Role], lifetime: timedelta
) -> tuple[Token, str]:
    """Create a token of the registry.

    Args:
        registry: registry that accepts the token from now on.
        name: name of the principal.
        roles: roles of the principal.
        lifetime: time until the token expires.

    Returns:
        The row of the token, and its text, which is not stored.

    Raises:
        Forbidden: the caller may not create tokens, or lacks a role that the token would have.
        NameRefused: the name cannot be used.
    """
    secret = secrets.token_hex(32)
    created = now()
    token = Token(
        id=secrets.token_hex(6),
        name=name,
        roles=sorted(roles),
        sha256=sha256_of(secret),
        created=created,
        created_by=registry.principal.name,
        expires=created + lifetime,
    )
    registry.add_token(token)
    return token, f"mlops_{token.id}_{secret}"


def identifier(text: str) -> str | None:
    """Return the id in a token; None if the text does not have the form of one."""
    found = _FORM.fullmatch(text)
    return found[1] if found else None


def principal_of(registry: Registry, text: str) -> Principal:
    """Return the principal of a token of the registry.

    Raises:
        Unauthenticated: it is unknown, has expired, or was revoked.
        StorageError: the registry cannot be read.
    """
    found = _FORM.fullmatch(text)
    token = registry.token(found[1]) if found else None
    if found is None or token is None or not hmac.compare_digest(token.sha256, sha256_of(found[2])):
        raise Unauthenticated("the token is unknown")
    if token.revoked is not None:
        raise Unauthenticated(f"token {token.id} was revoked; ask for a new one")
    if token.expires <= now():
        raise Unauthenticated(f"token {token.id} has expired; ask for a new one")
    return Principal(token.name, frozenset(Role(role) for role in token.roles))


def sha256_of(secret: str) -> str:
    """Return the sha256 of a secret, as the registry keeps it."""
    return hashlib.sha256(secret.encode()).hexdigest()
