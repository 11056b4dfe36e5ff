"""The decisions on a model version that a principal may make, and why not the others.

Every decision is checked again where it is made; pages only explain it before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mlops_assets.errors import Forbidden, Hidden
from mlops_assets.models.approval.standing import trained_by
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion
from mlops_assets.store import Store


@dataclass(frozen=True)
class Rights:
    """Why the principal may not decide; None of a decision that they may make.

    Attributes:
        approve, reject, deprecate: of the version.
        promote: of aliases but `candidate`.
        candidate: of the alias `candidate`.
        visibility: of the version.
    """

    approve: str | None
    reject: str | None
    deprecate: str | None
    promote: str | None
    candidate: str | None
    visibility: str | None


def rights_on(store: Store, specification: ModelSpecification | None, row: ModelVersion) -> Rights:
    """Return what the principal of a store may decide on a model version.

    Args:
        store: workspace and registry.
        specification: the model as declared; None if it is not, so that no alias moves.
        row: the model version.
    """
    principal = store.registry.principal
    name = f"{row.model}@{row.version}"

    def role(needed: Role, action: str) -> str | None:
        return _refusal(lambda: principal.require(needed, action))

    undeclared = (
        f"the project of this hub does not declare the model {row.model}"
        if specification is None
        else None
    )
    own_work = None
    if specification is not None and not specification.approval.own_work:
        trainer = trained_by(store.registry, row)
        if trainer in (None, principal.name):
            has = "who has trained it is unknown" if trainer is None else "you have trained it"
            own_work = f"another approver is to decide: {has}, and own_work is false"
    approver = role(Role.APPROVER, f"decide on {name}")
    return Rights(
        approve=undeclared or approver or own_work,
        reject=undeclared or approver,
        deprecate=approver,
        promote=undeclared or role(Role.APPROVER, "move this alias"),
        candidate=undeclared or role(Role.SCIENTIST, "move alias candidate"),
        visibility=_refusal(lambda: _require_owner(store, row)),
    )


@dataclass(frozen=True)
class WayBack:
    """The versions that a rollback of a model moves `production` between.

    Attributes:
        production: version in production.
        previous: version that was in production before.
        refused: why the principal may not roll back; None if they may.
    """

    production: str
    previous: str
    refused: str | None


def way_back(store: Store, model: str) -> WayBack | None:
    """Return what a rollback of a model does; None if nothing was in production before.

    Args:
        store: workspace and registry.
        model: its name.
    """
    aliases = store.registry.aliases(model)
    if "production" not in aliases or "previous" not in aliases:
        return None
    principal = store.registry.principal
    return WayBack(
        production=aliases["production"],
        previous=aliases["previous"],
        refused=_refusal(lambda: principal.require(Role.APPROVER, f"roll {model} back")),
    )


def _require_owner(store: Store, row: ModelVersion) -> None:
    store.registry.require_owner(row, f"change who sees {row.model}@{row.version}")


def _refusal(check: Callable[[], None]) -> str | None:
    try:
        check()
    except (Forbidden, Hidden) as error:
        return str(error)
    return None
