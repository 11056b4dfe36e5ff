"""The issuer of tokens (OpenID Connect): its keys, and who a JSON Web Token of it is about.

Nothing of a token is trusted before its signature was checked with a key that the issuer publishes
now; keys, addresses and algorithms that a token itself names are not used. See RFC 8725.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from typing import Any

import httpx
from joserfc import jwk, jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError

from mlops_assets.errors import IssuerUnreachable, NameRefused, Unauthenticated
from mlops_assets.identity.declaration import Identity
from mlops_assets.principals import Principal, check_principal_name

ALGORITHMS = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "Ed25519",
)
# public keys; never "oct", with which anybody who checks could sign
KEY_TYPES = (
    "RSA",
    "EC",
    "OKP",
)
MIN_RSA_BITS = 2048
TYPES = ("jwt", "at+jwt", "application/at+jwt")
LEEWAY_SECONDS = 30  # by which clocks may differ
REFRESH_SECONDS = 600.0  # after which keys are read again
KEPT_SECONDS = 86_400.0  # for which they are used while the issuer is unreachable
MIN_REFRESH_SECONDS = 10.0  # between two readings, whatever tokens come
TIMEOUT_SECONDS = 10.0  # of a reading as a whole
MAX_DOCUMENT_BYTES = 1 << 20
# what the libraries raise for texts that are no token
_MALFORMED = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)

log = logging.getLogger(__name__)


class Issuer:
    """An issuer whose tokens are accepted. To be used in one event loop."""

    def __init__(self, identity: Identity) -> None:
        """Accept tokens of an issuer; it is first asked for its keys when a token comes."""
        self._identity = identity
        self._signatures = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": identity.issuer},
            aud={"essential": True, "values": identity.audiences},
            exp={"essential": True},
        )
        self._keys: list[jwk.Key] = []
        # when keys were last read, and when that was last tried
        self._read = self._asked = float("-inf")
        self._failed = False
        self._refreshing = asyncio.Lock()

    async def principal(self, token: str) -> Principal:
        """Return who a token is about.

        Raises:
            IssuerUnreachable: its key is not known, and the issuer cannot be asked.
            Unauthenticated: it is not a valid token of this issuer for this service.
        """
        try:
            header = jws.extract_compact(token.encode()).headers()
            key_id = header.get("kid")
            usable = header["alg"] in ALGORITHMS and str(header.get("typ", "jwt")).lower() in TYPES
        except _MALFORMED:
            raise self._refused("it is not a signed JSON Web Token") from None
        if not usable or not isinstance(key_id, str | None):
            raise self._refused("its type or algorithm is not accepted")
        claims = self._signed(token, await self._key(key_id))
        if claims is None:  # a new key may have the id of an old one, or neither has one
            await self._refresh(wait=True)
            claims = self._signed(token, await self._key(key_id))
        if claims is None:
            raise self._refused("its signature is not valid")
        self._require_valid(claims)
        return Principal(self._name(claims), self._identity.roles_of(claims))

    def _name(self, claims: Mapping[str, Any]) -> str:
        name = claims.get(self._identity.name)
        try:
            return check_principal_name(name if isinstance(name, str) else "")
        except NameRefused:
            raise self._refused(f"its claim '{self._identity.name}' cannot name anybody") from None

    def _signed(self, token: str, key: jwk.Key) -> dict[str, Any] | None:
        """Return the claims of a token that is signed with this key; None if it is not."""
        try:
            return jwt.decode(token, key, registry=self._signatures).claims
        except _MALFORMED:
            return None

    def _require_valid(self, claims: dict[str, Any]) -> None:
        """Make sure that claims are valid now, and here."""
        try:
            self._claims.validate(claims)
        except ExpiredTokenError:
            raise self._refused("it has expired") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise self._refused(
                f"its claim '{error.claim}' is not valid here, or missing"
            ) from None

    async def _key(self, key_id: str | None) -> jwk.Key:
        """Return a key of the issuer.

        The issuer is asked for its keys if this one is not known, but not too often.
        """
        found = self._known(key_id)
        if found is None or self._age() > REFRESH_SECONDS:
            await self._refresh(wait=found is None)
            found = self._known(key_id)
        if self._age() > KEPT_SECONDS or (found is None and self._failed):
            raise IssuerUnreachable(f"the keys of {self._identity.issuer} cannot be read")
        if found is None:
            raise self._refused("its key is not one that the issuer publishes")
        return found

    def _known(self, key_id: str | None) -> jwk.Key | None:
        """Return the key with this id; without an id the only one that there is."""
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == key_id), None)

    def _age(self) -> float:
        return time.monotonic() - self._read

    async def _refresh(self, wait: bool) -> None:
        """Read the keys, unless that was tried just now.

        `wait` for somebody else who is reading them.
        """
        if not wait and self._refreshing.locked():
            return
        async with self._refreshing:
            if time.monotonic() - self._asked < MIN_REFRESH_SECONDS:
                return
            self._asked = time.monotonic()
            try:
                async with (
                    asyncio.timeout(TIMEOUT_SECONDS),
                    httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as client,
                ):
                    self._keys = await _published_keys(client, self._identity.issuer)
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
                self._failed = True
                log.warning(
                    "keys of %s cannot be read: %s: %s",
                    self._identity.issuer,
                    type(error).__name__,
                    error,
                )
            else:
                self._read, self._failed = time.monotonic(), False

    def _refused(self, reason: str) -> Unauthenticated:
        return Unauthenticated(
            f"the token is not accepted: {reason}; get a new one from {self._identity.issuer}"
        )


async def _published_keys(client: httpx.AsyncClient, issuer: str) -> list[jwk.Key]:
    """Return the keys that an issuer signs with, found by OpenID Connect Discovery 1.0.

    Raises:
        ValueError: what it publishes is not what it should be.
    """
    configuration = await _document(
        client, f"{issuer.rstrip('/')}/.well-known/openid-configuration"
    )
    address = configuration.get("jwks_uri")
    if configuration.get("issuer") != issuer:
        raise ValueError("its configuration names another issuer")
    if not isinstance(address, str) or not address.startswith(
        ("https://", f"{issuer.partition(':')[0]}://")
    ):
        raise ValueError("its configuration has no jwks_uri that can be used")
    listed = (await _document(client, address)).get("keys")
    if not isinstance(listed, list):
        raise ValueError("its keys are not a list")
    keys = [_signing_key(found) for found in listed]
    return [key for key in keys if key is not None]


def _signing_key(published: Any) -> jwk.Key | None:
    """Return a public key that signatures are checked with.

    It is None if what is published is not such a key, or is too weak.
    """
    if (
        not isinstance(published, dict)
        or published.get("kty") not in KEY_TYPES
        or published.get("use") == "enc"
    ):
        return None
    try:
        if published["kty"] == "RSA" and 6 * len(published["n"]) < MIN_RSA_BITS:  # base64
            return None
        return jwk.import_key(published)
    except _MALFORMED:
        return None


async def _document(client: httpx.AsyncClient, url: str) -> dict[str, Any]:
    """Return a JSON object from the web.

    Raises:
        ValueError: it is none, or too large.
    """
    content = bytearray()
    async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{url} answers {response.status_code}")
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"{url} gives more than {MAX_DOCUMENT_BYTES} bytes")
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{url} gives no JSON") from error
    if not isinstance(found, dict):
        raise ValueError(f"{url} gives no JSON object")
    return found
