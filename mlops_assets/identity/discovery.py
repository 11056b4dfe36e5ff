"""What OpenID Connect Discovery 1.0 says of an issuer: where its endpoints are."""

from __future__ import annotations

from urllib.parse import urlsplit

from mlops_assets.identity.declaration import is_secure
from mlops_assets.text.json_values import JsonObject


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
