"""The issuer of tokens (OpenID Connect): its keys, and the principals of its JSON Web Tokens.

Nothing of a token is trusted before its signature was checked with a key that the issuer publishes
now; keys, addresses and algorithms that a token itself names are not used. See RFC 8725.
"""

from __future__ import annotations

import asyncio
import logging
import time

import httpx
from joserfc import jwk, jws, jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, JoseError, MissingClaimError

from mlops_assets.certificates import trusted_certificates
from mlops_assets.errors import IssuerUnreachable, NameRefused, Unauthenticated
from mlops_assets.identity.declaration import Identity
from mlops_assets.identity.discovery import configuration_url, endpoint, read_document
from mlops_assets.principals import Principal, check_principal_name
from mlops_assets.text.json_values import JsonObject

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
# public keys; never "oct", with which whoever verifies could sign
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
MIN_REFRESH_SECONDS = 10.0  # between two requests for keys, whatever tokens arrive
TIMEOUT_SECONDS = 10.0  # of a request for keys as a whole
# raised by the libraries for texts that are not valid tokens
_MALFORMED = (JoseError, ValueError, TypeError, LookupError, AttributeError, RecursionError)

log = logging.getLogger(__name__)


class Issuer:
    """An issuer whose tokens are accepted, for use in one event loop."""

    def __init__(self, identity: Identity) -> None:
        """Accept tokens of an issuer; its keys are first read when a token arrives."""
        self._identity = identity
        self._signatures = jws.JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        self._claims = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": identity.issuer},
            aud={"essential": True, "values": identity.audiences},
            exp={"essential": True},
        )
        self._keys: list[jwk.Key] = []
        # times of the last successful and of the last attempted request for keys
        self._read = float("-inf")
        self._asked = float("-inf")
        self._failed = False
        self._refreshing = asyncio.Lock()

    async def principal(self, token: str) -> Principal:
        """Return the principal of a token.

        Args:
            token: a signed JSON Web Token in compact form.

        Returns:
            The principal, with the roles that the declaration maps its claims to.

        Raises:
            IssuerUnreachable: its key is unknown, and the issuer is unreachable.
            Unauthenticated: it is not a valid token of this issuer for this service.
        """
        return self.principal_of(await self.claims(token))

    async def claims(self, token: str) -> JsonObject:
        """Return the claims of a token; see `principal`."""
        return await self._verified(token, self._claims)

    async def identity_claims(self, token: str, client: str, nonce: str) -> JsonObject:
        """Return the claims of an ID token, as OpenID Connect Core 1.0, 3.1.3.7 has it checked.

        Args:
            token: a signed JSON Web Token in compact form.
            client: id of the client that the token must be for.
            nonce: that was sent with the request for it.

        Raises:
            IssuerUnreachable: its key is unknown, and the issuer is unreachable.
            Unauthenticated: it is not a valid ID token of this issuer for this client and request.
        """
        expected = jwt.JWTClaimsRegistry(
            leeway=LEEWAY_SECONDS,
            iss={"essential": True, "value": self._identity.issuer},
            aud={"essential": True, "values": [client]},
            azp={"value": client},
            nonce={"essential": True, "value": nonce},
            exp={"essential": True},
        )
        return await self._verified(token, expected)

    def principal_of(self, claims: JsonObject) -> Principal:
        """Return the principal of verified claims.

        Raises:
            Unauthenticated: their name cannot be used.
        """
        return Principal(self._name(claims), self._identity.roles_of(claims))

    async def _verified(self, token: str, expected: jwt.JWTClaimsRegistry) -> JsonObject:
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
        self._require_valid(claims, expected)
        return claims

    def _name(self, claims: JsonObject) -> str:
        name = claims.get(self._identity.name)
        try:
            return check_principal_name(name if isinstance(name, str) else "")
        except NameRefused:
            raise self._refused(f"its claim '{self._identity.name}' is not a valid name") from None

    def _signed(self, token: str, key: jwk.Key) -> JsonObject | None:
        """Return the claims of a token that is signed with this key; None if it is not."""
        try:
            claims: JsonObject = jwt.decode(token, key, registry=self._signatures).claims
            return claims
        except _MALFORMED:
            return None

    def _require_valid(self, claims: JsonObject, expected: jwt.JWTClaimsRegistry) -> None:
        """Require claims that are valid now, for this service."""
        try:
            expected.validate(claims)
        except ExpiredTokenError:
            raise self._refused("it has expired") from None
        except (InvalidClaimError, MissingClaimError) as error:
            raise self._refused(
                f"its claim '{error.claim}' is missing, or not valid for this service"
            ) from None

    async def _key(self, key_id: str | None) -> jwk.Key:
        """Return a key of the issuer.

        If it is unknown, the issuer's keys are read again, but not too often.
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
        """Return the key with this id; without an id the only key."""
        if key_id is None:
            return self._keys[0] if len(self._keys) == 1 else None
        return next((key for key in self._keys if key.kid == key_id), None)

    def _age(self) -> float:
        return time.monotonic() - self._read

    async def _refresh(self, wait: bool) -> None:
        """Read the keys, unless that was tried just now.

        Args:
            wait: wait for another task that is reading them.
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
                    httpx.AsyncClient(
                        timeout=TIMEOUT_SECONDS, verify=trusted_certificates()
                    ) as client,
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
                self._read = time.monotonic()
                self._failed = False

    def _refused(self, reason: str) -> Unauthenticated:
        return Unauthenticated(
            f"the token is not accepted: {reason}; get a new one from {self._identity.issuer}"
        )


async def _published_keys(client: httpx.AsyncClient, issuer: str) -> list[jwk.Key]:
    """Return the keys that an issuer signs with, found by OpenID Connect Discovery 1.0.

    Raises:
        ValueError: its configuration or keys are invalid.
    """
    configuration = await read_document(client, configuration_url(issuer))
    address = endpoint(configuration, issuer, "jwks_uri")
    listed = (await read_document(client, address)).get("keys")
    if not isinstance(listed, list):
        raise ValueError("its keys are not a list")
    keys = [_signing_key(found) for found in listed]
    return [key for key in keys if key is not None]


def _signing_key(published: object) -> jwk.Key | None:
    """Return a public key for checking signatures; None if it is not one, or is too weak."""
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
