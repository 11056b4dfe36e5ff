"""Principals: names and roles of those who act, and who of them may see a version.

Principals are identified elsewhere: the local user in `settings`, callers over HTTP in `identity`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlops_assets.errors import Forbidden, NameRefused

MAX_NAME = 255  # characters
SHARED_NAME = "api-token"  # of all who have the one token that callers of the HTTP API may share


class Role(StrEnum):
    """A role. Each but `guest` includes `viewer`, and `viewer` includes `guest`."""

    GUEST = "guest"  # reads what is published
    VIEWER = "viewer"  # reads
    SCIENTIST = "scientist"  # commits and tags data, trains and records models, moves `candidate`
    APPROVER = "approver"  # moves the other aliases, such as `production`
    OPERATOR = "operator"  # creates and revokes tokens, rebuilds the registry


ALL_ROLES = frozenset(Role)
GUEST_ROLES = frozenset({Role.GUEST})


class Visibility(StrEnum):
    """A circle of those who may see a version, from the narrowest."""

    PRIVATE = "private"  # its creator and operators
    WORKSPACE = "workspace"  # all who may read the workspace
    PUBLISHED = "published"  # guests, too: callers without a token, where a server lets them read

    @classmethod
    def narrowest(cls, *circles: str) -> Visibility:
        """Return the narrowest of some circles, given by their values."""
        return min(map(cls, circles), key=list(cls).index)


@dataclass(frozen=True)
class Principal:
    """A user or service that acts.

    Attributes:
        name: as the log and the records have it.
        roles: decide what is allowed.
    """

    name: str
    roles: frozenset[Role]

    def require(self, role: Role, action: str) -> None:
        """Check that this principal has a role.

        Args:
            role: the role.
            action: that needs it, for the message, such as "promote a model version".

        Raises:
            Forbidden: the principal does not have it.
        """
        included = {Role.GUEST: self.roles, Role.VIEWER: self.roles - GUEST_ROLES}
        if role in self.roles or included.get(role):
            return
        roles = ", ".join(sorted(self.roles)) or "no role"
        raise Forbidden(
            f"{self.name} may not {action}: this needs the role {role}, and {self.name} has {roles}"
        )


def local(name: str) -> Principal:
    """Return a user of this machine, who has all roles.

    Such a user can reach workspace and registry directly.
    """
    return Principal(name, ALL_ROLES)


def check_principal_name(name: str) -> str:
    """Return `name` if it can name a principal.

    Raises:
        NameRefused: it is empty, longer than 255 characters, has unprintable characters, or
            is taken.
    """
    if not 0 < len(name) <= MAX_NAME or not name.isprintable() or name != name.strip():
        raise NameRefused(
            f"principal {name[:MAX_NAME]!r} cannot be used: take 1 to {MAX_NAME} printable"
            " characters"
        )
    if name == SHARED_NAME:
        raise NameRefused(
            f"principal {name!r} stands for all who have MLOPS_API_TOKEN of a server; take another"
            " name"
        )
    return name
