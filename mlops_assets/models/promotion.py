"""Promotion and rollback of model versions, and the gates before them.

Gates decide whether a version may be promoted; both move `production`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mlops_assets.errors import GateFailure, IntegrityError, NameRefused, NotFound
from mlops_assets.models.approval.reason import check_reason
from mlops_assets.models.approval.standing import require_promotable
from mlops_assets.models.gates.check import check_gates
from mlops_assets.models.gates.outcomes import gates_description
from mlops_assets.models.specification import Approval, Gate
from mlops_assets.names import Reference, check_label
from mlops_assets.registry import ModelVersion, Promotion
from mlops_assets.registry.model_versions import role_to_move
from mlops_assets.registry.promotion.outbox import ROLLED_BACK
from mlops_assets.registry.schema import STAGES
from mlops_assets.store import Store

if TYPE_CHECKING:
    from mlops_assets.models.gates.comparison import Comparison

NO_APPROVAL = Approval()


def promote(
    store: Store,
    row: ModelVersion,
    gates: Sequence[Gate],
    alias: str = "production",
    approval: Approval = NO_APPROVAL,
    reason: str | None = None,
) -> Promotion:
    """Move an alias to a model version that passes all gates, and is approved if it must be.

    Its files are read again first, and must be as they were published.

    Args:
        store: workspace and registry; the principal promotes.
        row: the model version.
        gates: as declared for the model.
        alias: the alias to move.
        approval: as declared for the model.
        reason: why, for the history.

    Raises:
        IntegrityError: a file of it, or of a version that a gate compares it with, or its row in
            the registry has changed; no alias was moved.
        SignatureRefused: a signature is required, and none of it is accepted.
        GateFailure: a gate does not pass, or the version was not evaluated and recorded; no alias
            was moved.
        NameRefused: the alias cannot be a name, or would be taken for another one.
        PromotionRefused: the version is deprecated, or lacks the approval it needs; no alias was
            moved.
        DecisionRefused: the reason is not a short, plain text.
    """
    check_label(alias, "alias")
    if alias.lower() == "previous":
        raise NameRefused(
            f"alias {alias!r} is kept for what was in production before; choose another alias"
        )
    for own in ("production", "candidate", *approval.aliases):
        if alias != own and alias.lower() == own:
            raise NameRefused(
                f"alias {alias!r} differs from {own!r} only in case, and has none of its rules;"
                " choose another alias"
            )
    check_reason(reason)
    # before models run
    store.registry.principal.require(role_to_move(alias), f"move alias {alias}")
    require_recorded(row)
    require_promotable(store.registry, row, approval, alias)
    # models run before the lock is held, and not again under it
    made: dict[str, Comparison] = {}
    check_gates(store, row, gates, made=made)
    # the versions that gates compare with keep their aliases meanwhile
    with store.registry.lock(f"aliases of {row.model}"):
        require_promotable(store.registry, row, approval, alias)
        require_as_published(store, row)
        aliases = store.registry.aliases(row.model)
        for compared in {
            aliases[gate.not_worse_than] for gate in gates if gate.not_worse_than in aliases
        }:
            if compared != row.version:
                require_as_published(
                    store, store.registry.model_version(Reference(row.model, compared))
                )
        outcomes = check_gates(store, row, gates, made=made)
        if not all(outcome.passed for outcome in outcomes):
            raise GateFailure(
                f"{row.model}@{row.version} stays out of {alias}: {gates_description(outcomes)}"
            )
        passed: list[dict[str, object]] = [{**outcome.document()} for outcome in outcomes]
        return store.registry.promote(row, passed, alias, reason)


def rollback(
    store: Store, model: str, approval: Approval = NO_APPROVAL, reason: str | None = None
) -> Promotion:
    """Move `production` back to `previous`, which passed its gates when it was promoted.

    Args:
        store: workspace and registry; the principal moves it.
        model: name of the model.
        approval: as declared for the model.
        reason: why, for the history.

    Raises:
        IntegrityError: a file of `previous` or its row in the registry has changed; no alias was
            moved.
        NotFound: nothing was in production before.
        PromotionRefused: `previous` is deprecated, or lacks the approval it needs; no alias was
            moved.
        DecisionRefused: the reason is not a short, plain text.
    """
    check_reason(reason)
    with store.registry.lock(f"aliases of {model}"):
        if "previous" not in store.registry.aliases(model):
            raise NotFound(
                f"{model} has no previous version in production to go back to; see 'mlops model"
                f" show {model}'"
            )
        row = store.registry.model_version(Reference(model, "previous"))
        require_promotable(store.registry, row, approval, "production")
        require_as_published(store, row)
        passed = {"gate": "rollback", "passed": True, "value": None, "limit": None}
        return store.registry.promote(row, [passed], reason=reason, event=ROLLED_BACK)


def require_recorded(row: ModelVersion) -> None:
    """Check that a model version has all stages behind it.

    Raises:
        GateFailure: it was not evaluated and recorded.
    """
    if STAGES.index(row.stage) < STAGES.index("recorded"):
        raise GateFailure(
            f"{row.model}@{row.version} is only {row.stage}; it must be evaluated and recorded"
            f" first: run 'mlops train {row.model}@{row.data_version}', or materialise its missing"
            " assets"
        )


def require_as_published(store: Store, row: ModelVersion) -> None:
    """Check that files and rows of a model version are as they were published.

    Raises:
        IntegrityError: they are not.
    """
    # imports pandas, which gates alone do not need
    from mlops_assets.models.signing.verify import require_signature
    from mlops_assets.models.verify import verify_files_of_model

    require_signature(store, row)
    found = verify_files_of_model(store, row)
    if not found.passed:
        problems = "; ".join(found.problems)
        raise IntegrityError(
            f"{row.model}@{row.version} is not as it was published, no alias was moved: {problems}"
        )
