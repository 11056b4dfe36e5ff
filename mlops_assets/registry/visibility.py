"""The versions that a principal may see, as conditions of SQL.

No query here; `RegistrySession` adds `restrictions` to all that it reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from sqlalchemy import (
    ColumnElement,
    FromClause,
    SQLColumnExpression,
    exists,
    func,
    or_,
    select,
    true,
)
from sqlalchemy.orm import LoaderCriteriaOption, with_loader_criteria

from mlops_assets.principals import GUEST_ROLES, Principal, Role, Visibility
from mlops_assets.registry.schema import (
    Alarm,
    Alias,
    DataVersion,
    Decision,
    Deployment,
    Map,
    ModelVersion,
    Promotion,
    Run,
    RunNote,
    Tag,
)

_KEPT = 256  # principals


def sees_all(principal: Principal) -> bool:
    """Return whether a principal sees every version."""
    return Role.OPERATOR in principal.roles


def visible_to(
    principal: Principal,
    visibility: SQLColumnExpression[str],
    created_by: SQLColumnExpression[str] | SQLColumnExpression[str | None],
) -> ColumnElement[bool]:
    """Return the condition by which rows are visible to a principal.

    Args:
        principal: who reads.
        visibility: of a row, one of `Visibility`.
        created_by: name of the principal who has created what the row is about; NULL if unknown.
    """
    if sees_all(principal):
        return true()
    if principal.roles <= GUEST_ROLES:
        return visibility == Visibility.PUBLISHED
    # never NULL, so that it can be negated; no name is empty
    return or_(visibility != Visibility.PRIVATE, func.coalesce(created_by, "") == principal.name)


@lru_cache(_KEPT)
def restrictions(principal: Principal) -> Sequence[LoaderCriteriaOption]:
    """Return the conditions on rows of all tables that are versions, or name one.

    They are composed once, which takes longer than most queries. A run is hidden with its data
    version or its model version, except from who has created it.

    Args:
        principal: who reads.

    Returns:
        The conditions; none for one who sees all.
    """
    if sees_all(principal):
        return ()
    # tables, not their classes, as conditions on classes would be added here again
    data = DataVersion.__table__.alias()
    model = ModelVersion.__table__.alias()
    run = Run.__table__.alias()

    def creator(run_id: SQLColumnExpression[str]) -> SQLColumnExpression[str]:
        return select(run.c.created_by).where(run.c.run_id == run_id).scalar_subquery()

    sees_data = visible_to(principal, data.c.visibility, data.c.created_by)
    sees_model = visible_to(principal, model.c.visibility, creator(model.c.run_id))

    def model_of(
        row: type[Alarm | Alias | Decision | Deployment | Map | Promotion],
    ) -> ColumnElement[bool]:
        return exists().where(
            model.c.model == row.model, model.c.version == row.version, sees_model
        )

    def sees_run(row: type[Run] | FromClause) -> ColumnElement[bool]:
        of = row.c if isinstance(row, FromClause) else row
        hidden_data = exists().where(
            data.c.dataset == of.dataset, data.c.version == of.data_version, ~sees_data
        )
        hidden_model = exists().where(model.c.run_id == of.run_id, ~sees_model)
        return or_(of.created_by == principal.name, ~or_(hidden_data, hidden_model))

    noted = Run.__table__.alias()
    conditions = {
        DataVersion: visible_to(principal, DataVersion.visibility, DataVersion.created_by),
        ModelVersion: visible_to(principal, ModelVersion.visibility, creator(ModelVersion.run_id)),
        Run: sees_run(Run),
        RunNote: exists().where(noted.c.run_id == RunNote.run_id, sees_run(noted)),
        Tag: exists().where(
            data.c.dataset == Tag.dataset, data.c.version == Tag.version, sees_data
        ),
        Alarm: model_of(Alarm),
        Alias: model_of(Alias),
        Decision: model_of(Decision),
        Deployment: model_of(Deployment),
        Map: model_of(Map),
        Promotion: model_of(Promotion),
    }
    return tuple(
        with_loader_criteria(table, condition, include_aliases=True)
        for table, condition in conditions.items()
    )
