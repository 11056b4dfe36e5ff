"""Promotion and rollback of model versions, and the gates before them.

Gates decide whether a version may be promoted; both move `production`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from mlops_assets.errors import GateFailure, IntegrityError, NameRefused, NotFound
from mlops_assets.models.approval.standing import require_promotable
from mlops_assets.models.specification import Approval, Gate, is_minimised, magnitude
from mlops_assets.names import Reference, check_label
from mlops_assets.registry import ModelVersion, Promotion, Registry
from mlops_assets.registry.promotion.outbox import ROLLED_BACK
from mlops_assets.registry.schema import STAGES
from mlops_assets.store import Store

NO_APPROVAL = Approval()


@dataclass(frozen=True)
class GateOutcome:
    """One gate, and whether a model version passes it.

    Attributes:
        gate: the rule, such as `accuracy ≥ 0.8`.
        passed: whether the version passes.
        value: its metric; None if it was not measured.
        limit: the value that the metric is compared with; None if there is nothing to compare.
    """

    gate: str
    passed: bool
    value: float | None
    limit: float | None


def check_gates(registry: Registry, row: ModelVersion, gates: Sequence[Gate]) -> list[GateOutcome]:
    """Check a model version against gates; a metric that was not measured passes none.

    Args:
        registry: the registry, for the versions that gates compare with.
        row: the evaluated model version.
        gates: the rules, as declared.

    Returns:
        An outcome for each rule.
    """
    outcomes = []
    for gate in gates:
        value = _metric(row, gate.metric)
        if gate.min is not None:
            outcomes.append(_outcome(f"{gate.metric} ≥ {gate.min:g}", value, gate.min, larger=True))
        if gate.max is not None:
            outcomes.append(
                _outcome(f"{gate.metric} ≤ {gate.max:g}", value, gate.max, larger=False)
            )
        if gate.not_worse_than is not None:
            outcomes.append(_not_worse(registry, row, gate, value))
    return outcomes


def gates_description(outcomes: Sequence[GateOutcome]) -> str:
    """Return all outcomes in one sentence."""
    if not outcomes:
        return "no gate is declared"
    texts = [
        f"{outcome.gate}: {'passed' if outcome.passed else 'FAILED'}"
        + (", not measured" if outcome.value is None else f" at {outcome.value:.4f}")
        for outcome in outcomes
    ]
    return "; ".join(texts)


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
        NameRefused: the alias cannot be a name.
        PromotionRefused: the version is deprecated, or lacks the approval it needs; no alias was
            moved.
    """
    check_label(alias, "alias")
    if alias == "previous":
        raise NameRefused(
            "alias 'previous' is kept for what was in production before; choose another alias"
        )
    require_recorded(row)
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
        outcomes = check_gates(store.registry, row, gates)
        if not all(outcome.passed for outcome in outcomes):
            raise GateFailure(
                f"{row.model}@{row.version} stays out of {alias}: {gates_description(outcomes)}"
            )
        return store.registry.promote(row, [asdict(outcome) for outcome in outcomes], alias, reason)


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
    """
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


def _metric(row: ModelVersion, name: str) -> float | None:
    """Return a metric as a number: the registry keeps NaN and infinities as text."""
    value = row.metrics.get(name)
    return None if value is None else float(value)


def _outcome(name: str, value: float | None, limit: float, larger: bool) -> GateOutcome:
    passed = value is not None and (value >= limit if larger else value <= limit)
    return GateOutcome(name, passed, value, limit)


def _not_worse(
    registry: Registry, row: ModelVersion, gate: Gate, value: float | None
) -> GateOutcome:
    name = f"{gate.metric} not worse than {gate.not_worse_than} (tolerance {gate.tolerance:g})"
    version = registry.aliases(row.model).get(str(gate.not_worse_than))
    if version in (None, row.version):
        return GateOutcome(name, value is not None, value, None)
    other = _metric(registry.model_version(Reference(row.model, version)), gate.metric)
    if other is None:
        return GateOutcome(name, value is not None, value, None)
    other = magnitude(gate.metric, other)
    compared = None if value is None else magnitude(gate.metric, value)
    smaller = is_minimised(gate.metric)
    limit = other + gate.tolerance if smaller else other - gate.tolerance
    return _outcome(name, compared, limit, larger=not smaller)
