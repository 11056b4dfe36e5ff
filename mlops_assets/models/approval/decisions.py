"""Decisions on model versions: approve, reject, deprecate.

Each is made while no alias of the model moves.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import cast

from mlops_assets.errors import DecisionRefused, Forbidden
from mlops_assets.models.approval.reason import check_reason
from mlops_assets.models.approval.standing import decided_files, trained_by
from mlops_assets.models.promotion import require_as_published, require_recorded
from mlops_assets.models.specification import Approval
from mlops_assets.paths import record_owner
from mlops_assets.principals import Role
from mlops_assets.registry import Decision, ModelVersion
from mlops_assets.store import Store


def approve(store: Store, row: ModelVersion, approval: Approval, reason: str) -> Decision:
    """Approve a model version, whose files are read again first.

    Args:
        store: workspace and registry; the principal approves.
        row: the model version.
        approval: as declared for the model.
        reason: why.

    Raises:
        DecisionRefused: no reason is given.
        Forbidden: the principal is not an approver, or has trained the version.
        GateFailure: the version was not evaluated and recorded.
        IntegrityError: a file or row of it is not as it was published.
    """
    _require(store, row, "approve", reason)
    require_recorded(row)
    if not approval.own_work:
        _require_other(store, row)
    with store.registry.lock(f"aliases of {row.model}"):
        require_as_published(store, row)
        return store.registry.decide(row, "approved", reason, decided_files(store.registry, row))


def reject(store: Store, row: ModelVersion, reason: str) -> Decision:
    """Reject a model version, which withdraws its approval; no alias moves.

    Args:
        store: workspace and registry; the principal rejects.
        row: the model version.
        reason: why.

    Raises:
        DecisionRefused: no reason is given.
        Forbidden: the principal is not an approver.
    """
    _require(store, row, "reject", reason)
    with store.registry.lock(f"aliases of {row.model}"):
        return store.registry.decide(row, "rejected", reason, decided_files(store.registry, row))


def deprecate(
    store: Store, row: ModelVersion, reason: str, undo: bool = False, force: bool = False
) -> Decision:
    """Deprecate a model version, or take that back; its record states it.

    Args:
        store: workspace and registry; the principal decides.
        row: the model version.
        reason: why.
        undo: it is deprecated no more.
        force: also if it is in production, where it stays.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        DecisionRefused: no reason is given, it is in production, or is deprecated already.
        Forbidden: the principal is not an approver.
        IntegrityError: its record is not as it was published.
    """
    from mlops_assets.stac.catalog import CatalogWriter, record_key

    _require(store, row, "deprecate", reason)
    reference = f"{row.model}@{row.version}"
    with store.registry.lock(f"aliases of {row.model}"), store.registry.lock("catalog"):
        is_deprecated = (row.model, row.version) in store.registry.deprecated_versions(row.model)
        if is_deprecated != undo:
            raise DecisionRefused(f"{reference} is {'' if is_deprecated else 'not '}deprecated")
        if (
            not undo
            and not force
            and store.registry.aliases(row.model).get("production") == (row.version)
        ):
            raise DecisionRefused(
                f"{reference} is in production; promote another version first, or 'mlops model"
                f" rollback {row.model}'; --force deprecates it where it is"
            )
        writer = CatalogWriter(store.workspace, store.registry)
        key = record_key(row)
        has_record = writer.has(key)
        if has_record:
            document = cast(dict[str, dict[str, object]], writer.read(key))
            properties = document["properties"] | {"deprecated": None if undo else True}
            owner = record_owner(row.model, row.version)
            writer.write(key, {**document, "properties": properties}, owner)
        decision = "reinstated" if undo else "deprecated"
        files = decided_files(store.registry, row)
        publishing = writer.publishing(Role.APPROVER) if has_record else nullcontext()
        with publishing as records:
            return store.registry.decide(row, decision, reason, files, records)


def _require(store: Store, row: ModelVersion, verb: str, reason: str) -> None:
    store.registry.principal.require(Role.APPROVER, f"{verb} {row.model}@{row.version}")
    if not reason.strip():
        raise DecisionRefused(f"to {verb} {row.model}@{row.version}, give a reason: --reason TEXT")
    check_reason(reason)


def _require_other(store: Store, row: ModelVersion) -> None:
    """Check that the principal has not trained a model version.

    Raises:
        Forbidden: they have, or it is unknown who has.
    """
    trainer = trained_by(store.registry, row)
    who = store.registry.principal.name
    if trainer in (None, who):
        has = "who has trained it is unknown" if trainer is None else f"{who} has trained it"
        raise Forbidden(
            f"{who} may not approve {row.model}@{row.version}: {has}, and its declaration says"
            " 'approval: {own_work: false}'; let another approver decide"
        )
