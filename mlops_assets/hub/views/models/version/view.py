"""One model version: what it is, how good it is, and what may be decided on it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from mlops_assets.errors import Hidden, IntegrityError, PromotionRefused
from mlops_assets.hub.views.models.evidence import Evidence, read_evidence
from mlops_assets.hub.views.models.measures import Measure, main_metric, measures_of
from mlops_assets.hub.views.models.version.documents import version_documents
from mlops_assets.hub.views.models.version.rights import Rights, rights_on
from mlops_assets.hub.views.models.version.state import VersionState, version_state
from mlops_assets.hub.views.models.versions import ApprovalState, approval_state
from mlops_assets.hub.views.numbers import finite
from mlops_assets.lineage.deployments import deployments_of_version
from mlops_assets.models.approval.standing import approval_check, require_promotable
from mlops_assets.models.gates.outcomes import GateOutcome, Verdict
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference
from mlops_assets.registry import Decision, ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.store import Store


@dataclass(frozen=True)
class ClassRow:
    """The metrics of one class on the test split; None where it has no test sample."""

    name: str
    samples: int | None
    precision: float | None
    recall: float | None
    f1: float | None
    iou: float | None


@dataclass(frozen=True)
class ShownGate:
    """A gate, as it was when the version was recorded.

    Attributes:
        gate: the rule.
        verdict: `passed`, `failed` or `cannot tell`.
        value: that was compared; None if it was not measured.
        limit: that it was compared with; None if there is none.
        reason: what the numbers do not state.
        difference, low, high: by how much the version is better than the other, and one-sided 95 %
            bounds of that; None of floors and ceilings.
        needed: about how many more test units would decide it; None if it is decided.
    """

    gate: str
    verdict: Verdict
    value: float | None
    limit: float | None
    reason: str | None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    needed: int | None = None


@dataclass(frozen=True)
class ShownDecision:
    """A decision on a version; see `Decision` of the registry."""

    decision: str
    decided: datetime
    decided_by: str
    reason: str
    sha256: dict[str, str]


@dataclass(frozen=True)
class ShownApproval:
    """The approval of a version.

    Attributes:
        state: whether it stands.
        required: whether protected aliases need it.
        protected: those aliases.
        description: one sentence.
        newest: the newest approval or rejection; None if there is none.
    """

    state: ApprovalState
    required: bool
    protected: list[str]
    description: str
    newest: ShownDecision | None


@dataclass(frozen=True)
class InputSignature:
    """The input and output of the ONNX file; see `Signature` of the registry's documents."""

    view: str
    shape: list[int]
    features: list[str]
    classes: list[str]
    architecture: str
    parameters: int | None


@dataclass(frozen=True)
class TrainedBy:
    """The run that has trained a version; see `RunLineage` of `lineage.chain`."""

    run_id: str
    trainer: str
    created_by: str | None
    seed: int
    code_version: str
    commit: str | None
    environment: str | None


@dataclass(frozen=True)
class VersionView:
    """One model version.

    Attributes:
        model: its name.
        version: that the reference names now.
        asked: what was asked for: a version or an alias.
        title: of the model; None if none is declared.
        declared: whether the project declares the model.
        aliases: other names of the version.
        stage: the last that is complete.
        task, framework: of the model.
        data: `dataset@version` that it was trained on.
        created: when it was trained.
        visibility: who may see it.
        visibility_reason: why that was last changed; None if it never was, or without a reason.
        deprecated: the deprecation that stands; None if it is not deprecated.
        metric: name of the main metric; None if unknown.
        metrics: of the test split.
        samples: of the test split; None if unknown.
        confidence: of the intervals; None without intervals.
        resampled: what was drawn for the intervals, with its number; None without them.
        per_class: metrics of each class; empty for regression.
        confusion: counts, true classes in rows; None for regression.
        verdict: of all gates together; None if there is no record of gates.
        gates: each of them.
        approval: whether it stands.
        decisions: all of them, oldest first.
        signature: None if the registry has an invalid one.
        applicability: one line; None if it was not measured.
        parity: one line; None if it was not exported.
        latency: one line; None if it was not measured.
        run: None if the principal may not see it.
        figures: names of its figures.
        services: names of the services that serve the version.
        auto_promote: whether an approval moves `production` to it.
        blocked: why `production` may not move to it as things stand; None if nothing is known.
        rights: of the principal.
        state: for a decision, to be sent with it.
        problems: documents that cannot be read, and why.
    """

    model: str
    version: str
    asked: str
    title: str | None
    declared: bool
    aliases: list[str]
    stage: str
    task: str
    framework: str
    data: str
    created: datetime
    visibility: str
    visibility_reason: str | None
    deprecated: ShownDecision | None
    metric: str | None
    metrics: list[Measure]
    samples: int | None
    confidence: float | None
    resampled: str | None
    per_class: list[ClassRow]
    confusion: list[list[int]] | None
    verdict: Verdict | None
    gates: list[ShownGate]
    approval: ShownApproval
    decisions: list[ShownDecision]
    signature: InputSignature | None
    applicability: str | None
    parity: str | None
    latency: str | None
    run: TrainedBy | None
    figures: list[str]
    services: list[str]
    auto_promote: bool
    blocked: str | None
    rights: Rights
    state: VersionState
    problems: list[str]


def version_view(
    store: Store, specification: ModelSpecification | None, reference: Reference
) -> VersionView:
    """Return one model version.

    Args:
        store: workspace and registry.
        specification: the model as declared; None if it is not.
        reference: to the version: `model@version`, `model@alias`, or `model` for the newest.

    Raises:
        NotFound: there is none that the principal may see.
    """
    registry = store.registry
    row = registry.model_version(reference)
    key = (row.model, row.version)
    own = read_evidence(store, [key])[key]
    problems = list(own.problems)
    decided = registry.decisions(*key)
    deprecation = registry.deprecated_versions(row.model).get(key)
    metrics = own.metrics
    intervals = None if metrics is None else metrics.intervals
    services = [made.service for made in deployments_of_version(registry, *key) if made.active]
    documents = version_documents(store, row, problems)
    return VersionView(
        model=row.model,
        version=row.version,
        asked=reference.what or row.version,
        title=None if specification is None else specification.title,
        declared=specification is not None,
        aliases=registry.all_aliases().get(key, []),
        stage=row.stage,
        task=row.task,
        framework=row.framework,
        data=f"{row.dataset}@{row.data_version}",
        created=row.created,
        visibility=row.visibility,
        visibility_reason=row.visibility_reason,
        deprecated=None if deprecation is None else _shown(deprecation),
        metric=main_metric(specification, row.task),
        metrics=measures_of(row.metrics, intervals),
        samples=None if metrics is None else metrics.samples,
        confidence=None if intervals is None else intervals.confidence,
        resampled=None if intervals is None else f"{intervals.units} {intervals.resampled}",
        per_class=_classes(own),
        confusion=None if metrics is None else metrics.confusion_matrix,
        verdict=None if own.gates is None else own.gates.verdict,
        gates=[] if own.gates is None else [_gate(gate) for gate in own.gates.gates],
        approval=_approval(store, specification, row, decided),
        decisions=[_shown(made) for made in decided],
        signature=_signature(row, problems),
        applicability=documents.applicability,
        parity=documents.parity,
        latency=documents.latency,
        run=_run(store, row),
        figures=documents.figures,
        services=services,
        auto_promote=(
            specification is not None
            and specification.auto_promote
            and specification.approval.protects("production")
        ),
        blocked=_blocked(store, specification, row, own),
        rights=rights_on(store, specification, row),
        state=version_state(store, row),
        problems=problems,
    )


def _shown(made: Decision) -> ShownDecision:
    return ShownDecision(
        made.decision, made.decided, made.decided_by, made.reason, dict(made.sha256)
    )


def _classes(own: Evidence) -> list[ClassRow]:
    entries = [] if own.metrics is None else own.metrics.per_class
    return [
        ClassRow(
            entry.name,
            entry.samples,
            *(finite(value) for value in (entry.precision, entry.recall, entry.f1, entry.iou)),
        )
        for entry in entries
    ]


def _gate(own: GateOutcome) -> ShownGate:
    known = own.evidence
    return ShownGate(
        gate=own.gate,
        verdict=own.verdict,
        value=finite(own.value),
        limit=finite(own.limit),
        reason=own.reason,
        difference=None if known is None else finite(known.difference),
        low=None if known is None else finite(known.low),
        high=None if known is None else finite(known.high),
        needed=None if known is None else known.needed,
    )


def _approval(
    store: Store,
    specification: ModelSpecification | None,
    row: ModelVersion,
    decided: list[Decision],
) -> ShownApproval:
    newest = [made for made in decided if made.decision in ("approved", "rejected")][-1:]
    required = specification is not None and specification.approval.required
    if specification is not None and (required or newest):
        description = approval_check(store.registry, row, specification.approval).description
    elif newest:
        description = f"{newest[0].decision} by {newest[0].decided_by}: {newest[0].reason}"
    else:
        description = "no approval is required"
    return ShownApproval(
        state=approval_state(store, specification, row),
        required=required,
        protected=(
            specification.approval.aliases if specification is not None and required else []
        ),
        description=description,
        newest=_shown(newest[0]) if newest else None,
    )


def _signature(row: ModelVersion, problems: list[str]) -> InputSignature | None:
    try:
        found = Signature.of(row)
    except IntegrityError as error:
        problems.append(str(error))
        return None
    return InputSignature(
        view=found.view,
        shape=found.shape,
        features=found.features,
        classes=[own.name for own in found.classes or []],
        architecture=found.architecture,
        parameters=found.parameters,
    )


def _run(store: Store, row: ModelVersion) -> TrainedBy | None:
    try:
        run = store.registry.run_of(row)
    except Hidden:
        return None
    return TrainedBy(
        run_id=run.run_id,
        trainer=run.trainer,
        created_by=run.created_by,
        seed=run.seed,
        code_version=run.code_version,
        commit=run.code.get("commit"),
        environment=run.environment,
    )


def _blocked(
    store: Store,
    specification: ModelSpecification | None,
    row: ModelVersion,
    own: Evidence,
) -> str | None:
    """Return why `production` may not move to a version, without running its gates again."""
    if specification is None:
        return f"the project of this hub does not declare the model {row.model}"
    try:
        require_promotable(store.registry, row, specification.approval, "production")
    except PromotionRefused as error:
        return str(error)
    if row.stage != "recorded":
        return f"it is only {row.stage}; it must be evaluated and recorded first"
    if own.gates is not None and own.gates.verdict != "passed":
        failed = [str(gate) for gate in own.gates.gates if gate.verdict != "passed"]
        return f"when it was recorded, {'; '.join(failed)}"
    return None
