"""Sign-in of people at an OpenID Connect provider: authorization code with PKCE.

See OpenID Connect Core 1.0, 3.1, RFC 7636, RFC 9207 and the best current practice, RFC 9700.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import quote_plus, urlencode

import httpx
import httpx2
from authlib.integrations.base_client import OAuthError
from authlib.integrations.httpx_client import AsyncOAuth2Client

from mlops_assets.certificates import trusted_certificates
from mlops_assets.errors import IssuerUnreachable, Unauthenticated
from mlops_assets.hub.sign_in.requests import SIGN_IN, SIGNED_IN
from mlops_assets.identity.declaration import Identity, SignIn
from mlops_assets.identity.discovery import configuration_url, endpoint, read_document
from mlops_assets.identity.issuer import Issuer
from mlops_assets.identity.tokens import sha256_of
from mlops_assets.principals import Principal
from mlops_assets.registry import Registry
from mlops_assets.registry import SignIn as BegunSignIn
from mlops_assets.registry.store import now
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.printable import printable

COMPLETED_WITHIN = timedelta(minutes=10)
TIMEOUT_SECONDS = 10.0  # of a request to the provider as a whole
REFRESH_SECONDS = 600.0  # after which its configuration is read again
MAX_REASON = 300  # characters of what the provider reports
AGAIN = "sign in again"

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Begun:
    """A sign-in that has begun.

    Attributes:
        url: of the provider, which the browser goes to.
        browser: value of the cookie that binds the sign-in to this browser.
    """

    url: str = field(repr=False)
    browser: str = field(repr=False)


@dataclass(frozen=True)
class Completed:
    """A completed sign-in.

    Attributes:
        principal: who has signed in.
        target: path of the page that the browser returns to.
    """

    principal: Principal
    target: str


class Provider:
    """The provider at which people sign in, for use in one event loop."""

    def __init__(
        self, identity: Identity, client: SignIn, issuer: Issuer, registry: Registry, origin: str
    ) -> None:
        """Sign people in as a client of a provider.

        Args:
            identity: the provider.
            client: our client there.
            issuer: checks its tokens.
            registry: keeps sign-ins that have begun; of a principal who is an operator.
            origin: of the hub, as browsers have it.
        """
        self._identity = identity
        self._client = client
        self._issuer = issuer
        self._registry = registry
        self._origin = origin
        self._read = float("-inf")
        self._configuration: JsonObject = {}

    @property
    def issuer(self) -> str:
        """URL of the provider."""
        return self._identity.issuer

    async def begin(self, target: str) -> Begun:
        """Begin a sign-in.

        Args:
            target: path of the page that the browser returns to.

        Raises:
            Conflict: too many people are signing in.
            IssuerUnreachable: the configuration of the provider cannot be read.
            StorageError: the registry cannot be written.
        """
        address = await self._endpoint("authorization_endpoint")
        state, browser, nonce = (secrets.token_urlsafe(32) for _ in range(3))
        verifier = secrets.token_urlsafe(48)
        begun = BegunSignIn(
            state=sha256_of(state),
            browser=sha256_of(browser),
            nonce=nonce,
            verifier=verifier,
            target=target,
            expires=now() + COMPLETED_WITHIN,
        )
        await asyncio.to_thread(self._registry.add_sign_in, begun)
        async with self._oauth() as client:
            url, _ = client.create_authorization_url(
                address, state=state, code_verifier=verifier, nonce=nonce
            )
        return Begun(url, browser)

    async def complete(self, answer: dict[str, str], browser: str | None) -> Completed:
        """Complete a sign-in.

        Args:
            answer: parameters with which the provider has sent the browser back.
            browser: value of the cookie that the sign-in was begun with.

        Raises:
            IssuerUnreachable: the provider cannot be reached.
            StorageError: the registry cannot be used.
            Unauthenticated: it was not begun by this browser, has expired or is complete already,
                or the provider has refused it.
        """
        state = answer.get("state", "")
        begun = await asyncio.to_thread(self._registry.take_sign_in, sha256_of(state))
        if begun is None or browser is None or begun.browser != sha256_of(browser):
            raise Unauthenticated(
                "this sign-in was not begun in this browser, has expired, or is complete already;"
                f" {AGAIN}"
            )
        if answer.get("iss", self.issuer) != self.issuer:
            raise Unauthenticated(f"the answer is of another issuer; {AGAIN}")
        if "code" not in answer:
            reason = answer.get("error_description") or answer.get("error") or "no code"
            raise Unauthenticated(f"{self.issuer} reports: {_shown(reason)}; {AGAIN}")
        tokens = await self._tokens(answer["code"], begun.verifier)
        return Completed(await self._principal(tokens, begun.nonce), begun.target)

    async def sign_out_url(self) -> str | None:
        """Return the URL that ends the session at the provider (OpenID RP-Initiated Logout 1.0).

        Returns:
            The URL; None if the provider has none, or is unreachable.
        """
        try:
            address = endpoint(await self.configuration(), self.issuer, "end_session_endpoint")
        except (IssuerUnreachable, ValueError):
            return None
        query = {
            "client_id": self._client.read_client_id(),
            "post_logout_redirect_uri": f"{self._origin}{SIGN_IN}",
        }
        return f"{address}{'&' if '?' in address else '?'}{urlencode(query)}"

    async def configuration(self) -> JsonObject:
        """Return the configuration of the provider, which is read again now and then.

        Raises:
            IssuerUnreachable: it was never read, and cannot be now.
        """
        if time.monotonic() - self._read > REFRESH_SECONDS:
            try:
                found = await _document(configuration_url(self.issuer))
                endpoint(found, self.issuer, "authorization_endpoint")
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
                log.warning("the configuration of %s cannot be read: %s", self.issuer, error)
                if not self._configuration:
                    raise self._unreachable() from error
            else:
                self._configuration, self._read = found, time.monotonic()
        return self._configuration

    async def _endpoint(self, name: str) -> str:
        try:
            return endpoint(await self.configuration(), self.issuer, name)
        except ValueError as error:
            log.warning("%s cannot be used: %s", self.issuer, error)
            raise self._unreachable() from error

    def _unreachable(self) -> IssuerUnreachable:
        return IssuerUnreachable(
            f"{self.issuer} does not answer as it should; try again in a minute, the log of the"
            " server has the reason"
        )

    def _oauth(self) -> AsyncOAuth2Client:
        """Return a client of the token endpoint, which authenticates as the provider takes it."""
        declared = self._client
        secret, method = None, "none"
        if declared.client_secret is not None:
            secret = declared.client_secret.read(f"sign_in of {self.issuer}")
            found = self._configuration.get("token_endpoint_auth_methods_supported")
            supported = found if isinstance(found, list) else []
            basic = not supported or "client_secret_basic" in supported
            method = "client_secret_basic" if basic else "client_secret_post"
        client = AsyncOAuth2Client(
            client_id=declared.read_client_id(),
            client_secret=secret,
            token_endpoint_auth_method=method,
            scope=" ".join(declared.scopes),
            redirect_uri=f"{self._origin}{SIGNED_IN}",
            code_challenge_method="S256",
            timeout=TIMEOUT_SECONDS,
            verify=trusted_certificates(),
            follow_redirects=False,
        )
        client.register_client_auth_method(("client_secret_basic", _encoded_basic))
        return client

    async def _tokens(self, code: str, verifier: str) -> JsonObject:
        address = await self._endpoint("token_endpoint")
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS), self._oauth() as client:
                tokens: JsonObject = await client.fetch_token(
                    address, grant_type="authorization_code", code=code, code_verifier=verifier
                )
                return tokens
        except OAuthError as error:
            reason = _shown(error.description or error.error or "")
            log.warning("%s gives no token: %s", self.issuer, reason)
            raise Unauthenticated(f"{self.issuer} has refused the sign-in; {AGAIN}") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, TimeoutError, ValueError) as error:
            # its text may have the request, which has secrets
            log.warning("%s gives no token: %s", self.issuer, type(error).__name__)
            raise self._unreachable() from None

    async def _principal(self, tokens: JsonObject, nonce: str) -> Principal:
        """Return who has signed in, with the roles that any of the tokens has.

        Keycloak has roles in the access token, others in the ID token or at the userinfo endpoint.
        """
        id_token, access_token = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise Unauthenticated(f"{self.issuer} has sent no ID token; {AGAIN}")
        claims = await self._issuer.identity_claims(id_token, self._client.read_client_id(), nonce)
        subject = claims.get("sub")
        known, roles = [claims], self._identity.roles_of(claims)
        if isinstance(access_token, str) and access_token.count(".") == 2:
            try:
                known.append(await self._issuer.claims(access_token))
            except Unauthenticated:
                # it is for another service than this one; the ID token is all that is ours
                log.info("the access token of a sign-in has no roles for this service")
            roles |= self._identity.roles_of(known[-1])
        if not roles and isinstance(access_token, str):
            known.append(await self._user_info(access_token))
            roles |= self._identity.roles_of(known[-1])
        if any(each.get("sub") != subject for each in known if each):
            raise Unauthenticated(f"the tokens of {self.issuer} are of different people; {AGAIN}")
        named = next((each for each in known if self._identity.name in each), claims)
        return Principal(self._issuer.principal_of(named).name, roles)

    async def _user_info(self, access_token: str) -> JsonObject:
        """Return the claims of the userinfo endpoint (OpenID Connect Core 1.0, 5.3), if any."""
        try:
            address = endpoint(self._configuration, self.issuer, "userinfo_endpoint")
        except ValueError:
            return {}
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        try:
            return await _document(address, headers)
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, ValueError) as error:
            log.warning("the userinfo endpoint of %s: %s", self.issuer, type(error).__name__)
            return {}


async def _document(url: str, headers: Mapping[str, str] | None = None) -> JsonObject:
    """Return a document of the provider.

    Raises:
        httpx.HTTPError: it is unreachable.
        httpx.InvalidURL: the URL is not valid.
        TimeoutError: it takes too long as a whole.
        ValueError: it is not a JSON object, or too large.
    """
    async with (
        asyncio.timeout(TIMEOUT_SECONDS),
        httpx.AsyncClient(
            timeout=TIMEOUT_SECONDS, headers=headers, verify=trusted_certificates()
        ) as client,
    ):
        return await read_document(client, url)


def _encoded_basic(
    client: AsyncOAuth2Client, method: str, uri: str, headers: dict[str, str], body: str
) -> tuple[str, dict[str, str], str]:
    """Authenticate a client, whose id and secret RFC 6749, 2.3.1 has encoded first.

    Authlib leaves that out, and other characters than letters and digits would be read wrongly.
    """
    pair = f"{quote_plus(client.client_id)}:{quote_plus(client.client_secret)}"
    headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return uri, headers, body


def _shown(text: str) -> str:
    return printable(text[:MAX_REASON])
