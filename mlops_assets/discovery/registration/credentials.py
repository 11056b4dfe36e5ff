"""Credentials of catalogues, as httpx sends them with each request.

Secrets are read at each use, and are in no error, log or representation.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import quote_plus

import httpx

from mlops_assets.certificates import trusted_certificates
from mlops_assets.discovery.registration.catalogue import CatalogueError
from mlops_assets.discovery.registration.declaration import (
    BearerToken,
    ClientCredentials,
    DeclaredCatalogue,
    Password,
)
from mlops_assets.errors import SettingsError
from mlops_assets.identity.discovery import configuration_url, endpoint
from mlops_assets.secret import Secret
from mlops_assets.text.json_values import JsonObject
from mlops_assets.text.printable import printable
from mlops_assets.text.secret_urls import HIDDEN

TIMEOUT_SECONDS = 10.0  # of a request to an issuer as a whole
MAX_DOCUMENT_BYTES = 1 << 20
MARGIN_SECONDS = 30.0  # before its end at which a token is used no more; or a tenth of its life
DEFAULT_LIFE_SECONDS = 60.0  # of a token whose issuer does not state its life
MAX_REASON = 300  # characters of what an issuer reports

# what `Authorization` holds; given what was refused just now, something else if there is any
Authorization = Callable[[str | None], str]


class CredentialsError(CatalogueError):
    """A catalogue's credentials are missing, or an issuer gives no token for them.

    Nothing is wrong with the records: they are sent once the credentials are right.
    """

    def __init__(self, message: str) -> None:
        """Make an error that states what to correct."""
        super().__init__(message, temporary=True)


class CatalogueAuth(httpx.Auth):
    """Authorizes requests to the servers of one catalogue, and to no others."""

    def __init__(self, catalogue: DeclaredCatalogue, authorization: Authorization) -> None:
        """Authorize requests to the declared URLs of a catalogue."""
        declared = (catalogue.url, catalogue.api, catalogue.records)
        self._origins = {_origin(httpx.URL(url)) for url in declared if url is not None}
        self._authorization = authorization

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Send a request with credentials, and once more if others can be had after a 401."""
        if _origin(request.url) not in self._origins:
            yield request
            return
        first = self._authorization(None)
        request.headers["Authorization"] = first
        response = yield request
        if response.status_code != httpx.codes.UNAUTHORIZED:
            return
        second = self._authorization(first)
        if second != first:
            request.headers["Authorization"] = second
            yield request


def credentials(catalogue: DeclaredCatalogue) -> CatalogueAuth | None:
    """Return the credentials that a catalogue is declared with; None if it needs none.

    Requests that are sent with them raise `CredentialsError` where they are missing.

    Args:
        catalogue: whose servers they are sent to.
    """
    if catalogue.access is None:
        return None
    return CatalogueAuth(catalogue, _authorization(catalogue.name, catalogue.access))


def _authorization(name: str, access: BearerToken | Password | ClientCredentials) -> Authorization:
    if isinstance(access, BearerToken):
        return partial(_bearer, name, access)
    if isinstance(access, Password):
        return partial(_basic, name, access)
    return ClientTokens(name, access).authorization


def _bearer(name: str, access: BearerToken, _refused: str | None) -> str:
    return f"Bearer {_header_text(name, _secret(name, access.token))}"


def _basic(name: str, access: Password, _refused: str | None) -> str:
    return _basic_header(access.user, _secret(name, access.password))


@dataclass(frozen=True)
class _Token:
    """A token, and until when it is used, by the monotonic clock."""

    authorization: str = field(repr=False)
    until: float


class ClientTokens:
    """Tokens that an issuer gives to an OAuth 2.0 client (RFC 6749, 4.4), for use in threads."""

    def __init__(self, name: str, access: ClientCredentials) -> None:
        """Take tokens for a catalogue; the first is requested when it is needed."""
        self._name = name
        self._access = access
        self._token: _Token | None = None
        self._requesting = threading.Lock()

    def authorization(self, refused: str | None = None) -> str:
        """Return a token as `Authorization` holds it.

        Args:
            refused: the one that the catalogue has refused, after which another is requested.

        Raises:
            CredentialsError: the issuer gives none.
        """
        with self._requesting:
            token = self._token
            if token is None or time.monotonic() >= token.until or token.authorization == refused:
                self._token = token = self._requested()
            return token.authorization

    def _requested(self) -> _Token:
        access = self._access
        secret = _secret(self._name, access.client_secret)
        client_id = access.client_id
        if isinstance(client_id, Secret):
            client_id = _secret(self._name, client_id)
        started = time.monotonic()
        try:
            with httpx.Client(timeout=TIMEOUT_SECONDS, verify=trusted_certificates()) as client:
                document = _answer(
                    client, _token_request(client, access, client_id, secret), started
                )
            return _token(document, started)
        except httpx.HTTPError as error:
            problem = f"is unreachable: {type(error).__name__}: {error}"
        except (ValueError, httpx.InvalidURL) as error:
            problem = f"gives no token: {error}"
        for form in (secret, quote_plus(secret)):
            problem = problem.replace(form, HIDDEN)
        raise CredentialsError(
            f"catalogue {self._name}: the issuer {access.issuer} {printable(problem)}"
        )


def _token_request(
    client: httpx.Client, access: ClientCredentials, client_id: str, secret: str
) -> httpx.Request:
    """Return the request for a token, with the client's name and secret as the issuer takes them.

    Raises:
        ValueError: the issuer's configuration is not usable.
    """
    reading = client.build_request("GET", configuration_url(access.issuer))
    configuration = _answer(client, reading, time.monotonic())
    url = endpoint(configuration, access.issuer, "token_endpoint")
    form = {"grant_type": "client_credentials"}
    if access.scope is not None:
        form["scope"] = access.scope
    headers = {"Accept": "application/json"}
    methods = configuration.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
    if not isinstance(methods, list):
        raise ValueError("its token_endpoint_auth_methods_supported are not a list")
    if "client_secret_basic" in methods:
        headers["Authorization"] = _basic_header(quote_plus(client_id), quote_plus(secret))
    elif "client_secret_post" in methods:
        form |= {"client_id": client_id, "client_secret": secret}
    else:
        raise ValueError(
            "it takes neither client_secret_basic nor client_secret_post:"
            f" {', '.join(map(str, methods))}"
        )
    return client.build_request("POST", url, data=form, headers=headers)


def _answer(client: httpx.Client, request: httpx.Request, started: float) -> JsonObject:
    """Return the JSON object that an issuer answers.

    Raises:
        httpx.HTTPError: it is unreachable, or has not answered in time.
        ValueError: it answers an error, or something else.
    """
    content = bytearray()
    response = client.send(request, stream=True)
    try:
        for chunk in response.iter_bytes():
            content += chunk
            if len(content) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"{request.url} returns more than {MAX_DOCUMENT_BYTES} bytes")
            if time.monotonic() - started > TIMEOUT_SECONDS:
                raise httpx.ReadTimeout(f"{request.url} takes more than {TIMEOUT_SECONDS:g} s")
    finally:
        response.close()
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        document = None
    if response.status_code != httpx.codes.OK:
        raise ValueError(f"{request.url} responds with {response.status_code}{_reason(document)}")
    if not isinstance(document, dict):
        raise ValueError(f"{request.url} returns no JSON object")
    return document


def _reason(document: object) -> str:
    """Return what an error response of OAuth 2.0 (RFC 6749, 5.2) says."""
    if not isinstance(document, dict):
        return ""
    members = (document.get("error"), document.get("error_description"))
    parts = [part for part in members if isinstance(part, str) and part]
    return f" ({': '.join(parts)[:MAX_REASON]})" if parts else ""


def _token(document: JsonObject, started: float) -> _Token:
    text = document.get("access_token")
    kind = document.get("token_type")
    if not isinstance(kind, str) or kind.lower() != "bearer":
        raise ValueError("its token is not a bearer token")
    if not isinstance(text, str) or not _is_header_text(text):
        raise ValueError("its token cannot be sent in a header")
    try:
        # some issuers write the number as text
        life = float(str(document.get("expires_in", DEFAULT_LIFE_SECONDS)))
    except ValueError as error:
        raise ValueError("its expires_in is not a number") from error
    return _Token(f"Bearer {text}", started + life - min(MARGIN_SECONDS, life / 10))


def _secret(name: str, secret: Secret) -> str:
    """Return a secret as it is now.

    Raises:
        CredentialsError: it is missing or empty.
    """
    try:
        return secret.read(f"catalogue {name}")
    except SettingsError as error:
        raise CredentialsError(str(error)) from None


def _header_text(name: str, token: str) -> str:
    if not _is_header_text(token):
        raise CredentialsError(
            f"catalogue {name}: its token has spaces or other characters that no token has"
        )
    return token


def _is_header_text(text: str) -> bool:
    return bool(text) and text.isascii() and text.isprintable() and " " not in text


def _basic_header(user: str, password: str) -> str:
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port
