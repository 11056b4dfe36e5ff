"""Principals: who is acting, and the roles that say what they may do.

Who somebody is, is found out elsewhere: `settings` for the local user, `identity` for callers over HTTP.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from mlops_assets.errors import Forbidden


class Role(StrEnum):
    """A role. Each includes `viewer`; none includes another one."""

    VIEWER = "viewer"  # reads
    SCIENTIST = "scientist"  # commits and tags data, trains and records models, moves `candidate`
    APPROVER = "approver"  # moves the other aliases, such as `production`
    OPERATOR = "operator"  # creates and revokes tokens, rebuilds the registry


ALL_ROLES = frozenset(Role)


@dataclass(frozen=True)
class Principal:
    """Somebody who acts: a name, as the log and the records have it, and roles."""

    name: str
    roles: frozenset[Role]

    def require(self, role: Role, action: str) -> None:
        """Make sure that this principal has a role.

        Args:
            role: the role.
            action: what it is needed for, as "promote a model version".

        Raises:
            Forbidden: the principal does not have it.
        """
        if role in self.roles or (role is Role.VIEWER and self.roles):
            return
        roles = ", ".join(sorted(self.roles)) or "no role"
        raise Forbidden(f"{self.name} may not {action}: this needs the role {role}, and {self.name} has {roles}")


def local(name: str) -> Principal:
    """Return a user of this machine, who can reach workspace and registry directly, and so has all roles."""
    return Principal(name, ALL_ROLES)
