"""What OpenID Connect Discovery 1.0 says of an issuer: where its endpoints are."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import httpx

from mlops_assets.identity.declaration import is_secure
from mlops_assets.text.json_values import JsonObject

MAX_DOCUMENT_BYTES = 1 << 20


def configuration_url(issuer: str) -> str:
    """Return the URL of an issuer's configuration."""
    return f"{issuer.rstrip('/')}/.well-known/openid-configuration"


def endpoint(configuration: JsonObject, issuer: str, name: str) -> str:
    """Return the URL of an endpoint that an issuer's configuration names.

    Args:
        configuration: the document at `configuration_url`.
        issuer: the issuer as it is declared.
        name: of the endpoint, such as `jwks_uri` or `token_endpoint`.

    Raises:
        ValueError: the configuration is of another issuer, or has no usable URL of that name.
    """
    if configuration.get("issuer") != issuer:
        raise ValueError("its configuration names another issuer")
    address = configuration.get(name)
    if not isinstance(address, str) or not is_secure(urlsplit(address)):
        raise ValueError(f"its configuration has no usable {name}")
    return address


async def read_document(client: httpx.AsyncClient, url: str) -> JsonObject:
    """Return a JSON object from the web.

    Raises:
        ValueError: it is not one, or too large.
    """
    content = bytearray()
    async with client.stream("GET", url, headers={"Accept-Encoding": "identity"}) as response:
        if response.status_code != httpx.codes.OK:
            raise ValueError(f"{url} responds with {response.status_code}")
        async for chunk in response.aiter_raw():
            content += chunk
            if len(content) > MAX_DOCUMENT_BYTES:
                raise ValueError(f"{url} returns more than {MAX_DOCUMENT_BYTES} bytes")
    try:
        found = json.loads(content)
    except RecursionError as error:
        raise ValueError(f"{url} returns no valid JSON") from error
    if not isinstance(found, dict):
        raise ValueError(f"{url} returns no JSON object")
    return found
