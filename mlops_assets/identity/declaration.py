"""The YAML file that names a project's token issuer, and maps its roles to ours."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, Field, field_validator

from mlops_assets.principals import Role
from mlops_assets.secret import Secret
from mlops_assets.strict import Strict, read_settings_file

Text = Annotated[str, Field(min_length=1)]
# role as others name it → role or roles of the platform
RoleNames = dict[Text, Role | list[Role]]


def _issuer_url(url: str) -> str:
    """Return the URL of an issuer.

    Without TLS an on-path attacker could serve other keys.
    """
    parts = urlsplit(url)
    if parts.query or parts.fragment or parts.username is not None or not parts.hostname:
        raise ValueError(
            "write the issuer as its tokens have it in 'iss', such as https://HOST/realms/NAME"
        )
    if not is_secure(parts):
        raise ValueError("an issuer needs https, except on this machine")
    return url


def is_secure(url: SplitResult) -> bool:
    """Return whether no one on the way to a server can read or change what passes."""
    return url.hostname is not None and (
        url.scheme == "https" or (url.scheme == "http" and is_loopback(url.hostname))
    )


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is of this machine only."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


IssuerUrl = Annotated[str, AfterValidator(_issuer_url)]


class RoleMapping(Strict):
    """One claim that holds roles of the issuer, and the roles of the platform they stand for.

    Attributes:
        claim: path to it, as text with dots, `resource_access.fields.roles`, or as the list of its
            parts, for names that have dots in them.
        values: role of the issuer → role or roles of the platform; other roles are ignored.
    """

    claim: Text | Annotated[list[Text], Field(min_length=1)]
    values: Annotated[RoleNames, Field(min_length=1)]

    def roles(self, claims: Mapping[str, object]) -> frozenset[Role]:
        """Return the roles of a principal with these claims; none if the claim is not a list."""
        found: object = claims
        for part in self.claim.split(".") if isinstance(self.claim, str) else self.claim:
            found = found.get(part) if isinstance(found, Mapping) else None
        if not isinstance(found, list):
            return frozenset()
        return mapped_roles(self.values, (value for value in found if isinstance(value, str)))


class SignIn(Strict):
    """The client at the issuer by which people sign in to the hub with their browser.

    Attributes:
        client_id: its id at the issuer, or where that is.
        client_secret: where its secret is; None for a public client, which has none.
        scopes: that are requested; roles may need one of their own, such as `groups`.
        idle_minutes: without a request, after which a session ends.
        session_hours: after which a session ends in any case.
    """

    client_id: Text | Secret
    client_secret: Secret | None = None
    scopes: tuple[Text, ...] = ("openid", "profile")
    idle_minutes: Annotated[int, Field(ge=1, le=24 * 60)] = 60
    session_hours: Annotated[int, Field(ge=1, le=7 * 24)] = 12

    @field_validator("scopes")
    @classmethod
    def _with_openid(cls, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if "openid" not in scopes:
            raise ValueError("'openid' must be one of the scopes, else there is no ID token")
        return scopes

    def read_client_id(self) -> str:
        """Return the id of the client as it is now.

        Raises:
            SettingsError: it cannot be read, or is empty.
        """
        if isinstance(self.client_id, Secret):
            return self.client_id.read("sign_in in the file of MLOPS_IDENTITY")
        return self.client_id


class Identity(Strict):
    """The issuer of the tokens that callers send.

    Attributes:
        issuer: its URL, exactly as tokens have it in `iss`.
        audience: names of this service at the issuer; `aud` of a token must contain one of them.
        name: the claim that names the principal; one that the issuer's users cannot change
            themselves.
        roles: claims that hold roles.
        sign_in: client by which people sign in with their browser; None if they do not.
    """

    issuer: IssuerUrl
    audience: Text | Annotated[list[Text], Field(min_length=1)]
    name: Text = "sub"
    roles: Annotated[list[RoleMapping], Field(min_length=1)]
    sign_in: SignIn | None = None

    @property
    def audiences(self) -> list[str]:
        """All audiences."""
        return [self.audience] if isinstance(self.audience, str) else self.audience

    def roles_of(self, claims: Mapping[str, object]) -> frozenset[Role]:
        """Return the roles of a principal with these claims."""
        return frozenset(role for mapping in self.roles for role in mapping.roles(claims))


def mapped_roles(names: RoleNames, given: Iterable[str]) -> frozenset[Role]:
    """Return the roles of the platform that others name; unknown names are ignored.

    Args:
        names: role as they name it → role or roles of the platform.
        given: the names.
    """
    found = [names[name] for name in given if name in names]
    return frozenset(
        role for roles in found for role in ([roles] if isinstance(roles, Role) else roles)
    )


def read_identity(path: Path) -> Identity:
    """Read the declaration of an issuer.

    Args:
        path: YAML file with the fields of `Identity`.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    return read_settings_file(Identity, "MLOPS_IDENTITY", path)
