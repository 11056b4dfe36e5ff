"""The YAML file that names a gateway before the hub, which has authenticated people already."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import Field, IPvAnyNetwork, StringConstraints, model_validator

from mlops_assets.errors import NameRefused, Unauthenticated
from mlops_assets.identity.declaration import RoleNames, Text, mapped_roles
from mlops_assets.principals import Principal, check_principal_name
from mlops_assets.strict import Strict, read_settings_file

# an underscore is refused: some servers take X_User and X-User for the same header
HeaderName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]+$", to_lower=True)]


class Gateway(Strict):
    """A gateway that authenticates people, and states in headers who they are.

    The header holds a signed token of the issuer in `MLOPS_IDENTITY`, or the plain name. Headers of
    other peers are ignored; the gateway must replace those that its callers send.

    Attributes:
        networks: addresses of the gateway, such as `10.1.2.3/32`.
        token_header: holds a signed token, with or without `Bearer` before it.
        name_header: holds the name of the principal.
        roles_header: holds roles as the gateway names them, beside `name_header`.
        separator: between roles.
        roles: role of the gateway → role or roles of the platform; other roles are ignored.
    """

    networks: Annotated[list[IPvAnyNetwork], Field(min_length=1)]
    token_header: HeaderName | None = None
    name_header: HeaderName | None = None
    roles_header: HeaderName | None = None
    separator: Text = ","
    roles: RoleNames = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_kind(self) -> Gateway:
        if (self.token_header is None) == (self.name_header is None):
            raise ValueError("write either token_header, or name_header and roles_header")
        named = self.name_header is not None
        if named != (self.roles_header is not None) or named != bool(self.roles):
            raise ValueError("name_header needs roles_header and roles; a token has its own roles")
        if any(network.prefixlen == 0 for network in self.networks):
            raise ValueError("networks must name the gateway: this one is of every address")
        return self

    def trusts(self, address: str | None) -> bool:
        """Return whether a peer is the gateway.

        Args:
            address: of the peer of the connection; None if it has none.
        """
        try:
            peer = ipaddress.ip_address(address or "")
        except ValueError:
            return False
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
            peer = peer.ipv4_mapped
        return any(peer in network for network in self.networks)

    def principal(self, name: str, roles: str) -> Principal:
        """Return the principal of plain headers.

        Args:
            name: value of `name_header`.
            roles: value of `roles_header`.

        Raises:
            Unauthenticated: the name cannot be used.
        """
        try:
            check_principal_name(name)
        except NameRefused as error:
            raise Unauthenticated(
                f"the gateway has sent a name that cannot be used: {error}"
            ) from None
        given = (role.strip() for role in roles.split(self.separator))
        return Principal(name, mapped_roles(self.roles, given))


def read_gateway(path: Path) -> Gateway:
    """Read the declaration of a gateway.

    Args:
        path: YAML file with the fields of `Gateway`.

    Raises:
        SettingsError: the file cannot be read, or is invalid.
    """
    return read_settings_file(Gateway, "MLOPS_GATEWAY", path)
