"""The routes of decisions on model versions: approval, rejection, promotion.

They do what the commands of the same names do, with the roles of the caller's token.
"""

from __future__ import annotations

from collections.abc import Callable
from http import HTTPStatus
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path
from fastapi.concurrency import run_in_threadpool

from mlops_assets.components.events.reporting import DagsterReporter
from mlops_assets.errors import MlopsError, NotFound, StorageError
from mlops_assets.hub.external.routes import DOCUMENT_PROBLEMS, Runs, document_of
from mlops_assets.hub.external.runs import ExternalRuns
from mlops_assets.hub.rest.errors import Refused
from mlops_assets.hub.rest.openapi import json_body, problems
from mlops_assets.hub.rest.schemas import AliasMove, AliasMoved, DecisionMade, VersionDecision
from mlops_assets.models.approval.decisions import approve, reject
from mlops_assets.models.approval.standing import approval_check
from mlops_assets.models.promotion import promote
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.names import Reference, check_key, check_name
from mlops_assets.registry import ModelVersion

PROBLEMS = {**DOCUMENT_PROBLEMS, **problems(404, 409)}

router = APIRouter(prefix="/models/{model}/{version}", tags=["models"])

Model = Annotated[str, Path(description="Name of a model that the project declares.")]
Version = Annotated[str, Path(description="Its version, not an alias.")]


class _Decisions:
    """Decisions of a caller on one model version."""

    def __init__(self, hub: ExternalRuns, model: str, version: str) -> None:
        """Find the version.

        Raises:
            NotFound: there is no such version, or the project does not declare the model.
            Refused: an alias is named, which may move between reading and deciding.
        """
        self._hub = hub
        self._store = hub.store
        reference = Reference(check_name(model, "model"), check_key(version, "version"))
        self._row: ModelVersion = self._store.registry.model_version(reference)
        if self._row.version != version:
            raise Refused(
                HTTPStatus.UNPROCESSABLE_ENTITY,
                f"{version!r} is an alias, which may move; name the version, {self._row.version}",
            )
        declared = hub.models.get(model)
        if declared is None:
            raise NotFound(f"the project of this server does not declare the model {model}")
        self._declared: ModelSpecification = declared

    def decide(self, decision: Literal["approved", "rejected"], reason: str) -> DecisionMade:
        """Approve or reject it; approved, it is promoted where that is declared."""
        row, declared = self._row, self._declared
        if decision == "approved":
            made = approve(self._store, row, declared.approval, reason)
        else:
            made = reject(self._store, row, reason)
        notes: list[str] = []
        if declared.approval.required:
            check = approval_check(self._store.registry, row, declared.approval)
            with self._reporter() as reporter:
                notes += _problems(lambda: reporter.decided(row, check))
        moved = None
        automatic = declared.auto_promote and declared.approval.protects("production")
        if decision == "approved" and automatic:
            try:
                moved = self.promote("production", reason)
            except MlopsError as error:
                notes.append(f"it was not promoted: {error}")
        return DecisionMade(
            model=row.model,
            version=row.version,
            decision=decision,
            reason=made.reason,
            decided=made.decided,
            decided_by=made.decided_by,
            sha256=made.sha256,
            promoted=moved,
            notes=notes,
        )

    def promote(self, alias: str, reason: str | None) -> AliasMoved:
        """Move an alias to it, past the gates that are declared."""
        row, declared = self._row, self._declared
        moved = promote(self._store, row, declared.gates, alias, declared.approval, reason)
        with self._reporter() as reporter:
            notes = _problems(lambda: reporter.promoted(row, moved))
        return AliasMoved(
            alias=moved.alias,
            version=moved.version,
            previous=moved.previous,
            moved=moved.moved,
            moved_by=moved.moved_by,
            notes=notes,
        )

    def _reporter(self) -> DagsterReporter:
        return DagsterReporter(self._store, self._declared, self._hub.dagster_home)


def _problems(report: Callable[[], None]) -> list[str]:
    """Report to Dagster; return what it did not record, as the registry has it."""
    try:
        report()
    except StorageError as error:
        return [str(error)]
    return []


async def _decisions(runs: Runs, model: Model, version: Version) -> _Decisions:
    return await run_in_threadpool(_Decisions, runs, model, version)


Decided = Annotated[_Decisions, Depends(_decisions)]
Decision = Annotated[VersionDecision, Depends(document_of(VersionDecision))]


@router.post(
    "/approve",
    operation_id="approveVersion",
    summary="Approve a model version",
    response_description="It is approved; `promoted` and `notes` have what followed.",
    responses=PROBLEMS,
    openapi_extra=json_body(VersionDecision),
)
async def approve_version(decisions: Decided, body: Decision) -> DecisionMade:
    """Approve a model version, so that protected aliases may move to it."""
    return await run_in_threadpool(decisions.decide, "approved", body.reason)


@router.post(
    "/reject",
    operation_id="rejectVersion",
    summary="Reject a model version",
    response_description="It is rejected; no alias has moved.",
    responses=PROBLEMS,
    openapi_extra=json_body(VersionDecision),
)
async def reject_version(decisions: Decided, body: Decision) -> DecisionMade:
    """Reject a model version, which withdraws its approval."""
    return await run_in_threadpool(decisions.decide, "rejected", body.reason)


@router.post(
    "/promote",
    operation_id="promoteVersion",
    summary="Move an alias to a model version",
    response_description="The alias has moved.",
    responses=PROBLEMS,
    openapi_extra=json_body(AliasMove),
)
async def promote_version(
    decisions: Decided, body: Annotated[AliasMove, Depends(document_of(AliasMove))]
) -> AliasMoved:
    """Move an alias to a model version that passes its gates, and is approved if it must be.

    A version that was not compared with production yet is compared now, which takes as long as an
    evaluation.
    """
    return await run_in_threadpool(decisions.promote, body.alias, body.reason)
