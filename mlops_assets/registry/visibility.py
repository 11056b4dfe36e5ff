"""The versions that a principal may see, as conditions of SQL.

No query here; `RegistrySession` adds the conditions to all of its own.
"""

from __future__ import annotations

from sqlalchemy import ColumnElement, or_, true

from mlops_assets.principals import GUEST_ROLES, Principal, Role, Visibility


def visible_to(
    principal: Principal, visibility: ColumnElement[str], created_by: ColumnElement[str]
) -> ColumnElement[bool]:
    """Return the condition by which rows are visible to a principal.

    Args:
        principal: who reads.
        visibility: of a row, one of `Visibility`.
        created_by: name of the principal who has created what the row is about.
    """
    if Role.OPERATOR in principal.roles:
        return true()
    if principal.roles <= GUEST_ROLES:
        return visibility == Visibility.PUBLISHED
    return or_(visibility != Visibility.PRIVATE, created_by == principal.name)
