"""The versions of a model, page by page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select

from mlops_assets.errors import SpecificationError
from mlops_assets.hub.views.models.evidence import Evidence, read_evidence
from mlops_assets.hub.views.models.measures import Measure, measures_of
from mlops_assets.hub.views.numbers import finite
from mlops_assets.models.approval.standing import approval_check, newest_decision
from mlops_assets.models.gates.outcomes import Verdict
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.model_versions import ListedVersion
from mlops_assets.store import Store

MAX_PAGE = 100
PAGE = 25

ApprovalState = Literal["approved", "rejected", "waiting", "not required"]


@dataclass(frozen=True)
class VersionRow:
    """A version in the table of its model.

    Attributes:
        version: of the model.
        aliases: its other names.
        stage: the last that is complete.
        data: `dataset@version` that it was trained on.
        run_id: of its training run.
        created: when it was trained.
        visibility: who may see it.
        deprecated: why; None if it is not.
        gates: what came of its gates; None if that is unknown.
        approval: whether an approval stands.
        metrics: of the test split.
        problems: documents of it that cannot be read.
    """

    version: str
    aliases: list[str]
    stage: str
    data: str
    run_id: str
    created: datetime
    visibility: str
    deprecated: str | None
    gates: Verdict | None
    approval: ApprovalState
    metrics: list[Measure]
    problems: list[str]


@dataclass(frozen=True)
class VersionsPage:
    """A page of the versions of a model.

    Attributes:
        rows: of the page.
        total: number of versions that match.
        page: number of the page, from 1.
        size: rows of a page at most.
        sort: `created`, or a metric; with `-` before it, the largest first.
        metrics: names of the metrics that any version has.
    """

    rows: list[VersionRow]
    total: int
    page: int
    size: int
    sort: str
    metrics: list[str]


def versions_page(
    store: Store,
    specification: ModelSpecification | None,
    model: str,
    page: int = 1,
    size: int = PAGE,
    sort: str = "-created",
) -> VersionsPage:
    """Return a page of the versions of a model.

    Args:
        store: workspace and registry.
        specification: the model as declared; None if it is not.
        model: its name.
        page: number of the page, from 1; a page beyond the last is empty.
        size: rows of a page, `MAX_PAGE` at most.
        sort: `created`, or a metric; with `-` before it, the largest first. Versions without the
            metric come last.

    Raises:
        SpecificationError: no version has the metric to sort by.
    """
    listed = store.registry.list_model_versions(model)
    metrics = list(dict.fromkeys(name for row in listed for name in row.metrics))
    wanted = sort.removeprefix("-")
    if listed and wanted != "created" and wanted not in metrics:
        known = ", ".join(["created", *metrics])
        raise SpecificationError(f"versions cannot be sorted by {wanted!r}; take one of {known}")
    ordered = _ordered(listed, wanted, sort.startswith("-"))
    size = max(1, min(size, MAX_PAGE))
    first = (max(1, page) - 1) * size
    shown = ordered[first : first + size]
    return VersionsPage(
        rows=_described(store, specification, model, shown),
        total=len(listed),
        page=max(1, page),
        size=size,
        sort=sort,
        metrics=metrics,
    )


def _ordered(
    listed: Sequence[ListedVersion], wanted: str, descending: bool
) -> Sequence[ListedVersion]:
    if wanted == "created":
        return list(reversed(listed)) if descending else listed
    measured = [(finite(row.metrics.get(wanted)), row) for row in listed]
    known = [(value, row) for value, row in measured if value is not None]
    known.sort(key=lambda pair: pair[0], reverse=descending)
    return [row for _, row in known] + [row for value, row in measured if value is None]


def _described(
    store: Store,
    specification: ModelSpecification | None,
    model: str,
    shown: Sequence[ListedVersion],
) -> list[VersionRow]:
    registry = store.registry
    evidence = read_evidence(store, [(row.model, row.version) for row in shown])
    aliases = registry.all_aliases()
    deprecated = registry.deprecated_versions(model)
    query = select(ModelVersion).where(
        ModelVersion.model == model, ModelVersion.version.in_([row.version for row in shown])
    )
    with registry.reading() as session:
        rows = {row.version: row for row in session.scalars(query)}
    found = []
    for row in shown:
        key = (row.model, row.version)
        own = evidence.get(key, Evidence())
        deprecation = deprecated.get(key)
        found.append(
            VersionRow(
                version=row.version,
                aliases=aliases.get(key, []),
                stage=row.stage,
                data=f"{row.dataset}@{row.data_version}",
                run_id=row.run_id,
                created=row.created,
                visibility=row.visibility,
                deprecated=None if deprecation is None else deprecation.reason,
                gates=None if own.gates is None else own.gates.verdict,
                approval=approval_state(store, specification, rows[row.version]),
                metrics=measures_of(row.metrics, own.metrics.intervals if own.metrics else None),
                problems=own.problems,
            )
        )
    return found


def approval_state(
    store: Store, specification: ModelSpecification | None, row: ModelVersion
) -> ApprovalState:
    """Return whether an approval of a model version stands.

    Args:
        store: workspace and registry.
        specification: the model as declared; None if it is not.
        row: the model version.
    """
    required = specification is not None and specification.approval.required
    made = newest_decision(store.registry, row)
    if made is None:
        return "waiting" if required else "not required"
    if made.decision == "rejected":
        return "rejected"
    if specification is None:
        return "approved"
    stands = approval_check(store.registry, row, specification.approval).passed
    return "approved" if stands else "waiting"
