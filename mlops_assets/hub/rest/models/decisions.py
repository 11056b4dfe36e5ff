"""The routes of decisions on model versions: approval, promotion, deprecation, visibility.

They do what the commands of the same names do, with the roles of the caller's token.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.model_decisions import ModelDecisions, roll_back
from mlops_assets.hub.rest.bodies import document_of
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.models.schemas import (
    AliasMove,
    AliasMoved,
    DecisionMade,
    Deprecation,
    ModelVisibilityChange,
    Rollback,
    VersionDecision,
    VisibilitySet,
)
from mlops_assets.hub.rest.openapi import DOCUMENT_PROBLEMS, json_body, problems

PROBLEMS = {**DOCUMENT_PROBLEMS, **problems(404, 409)}

router = APIRouter(prefix="/models", tags=["models"])
_VERSION = "/{model}/{version}"

Model = Annotated[str, Path(description="Name of a model that the project declares.")]
Version = Annotated[str, Path(description="Its version, not an alias.")]


async def _decisions(store: StoreOf, hub: HubOf, model: Model, version: Version) -> ModelDecisions:
    return await run_in_threadpool(ModelDecisions, store, hub, model, version)


Decided = Annotated[ModelDecisions, Depends(_decisions)]
Decision = Annotated[VersionDecision, Depends(document_of(VersionDecision))]


@router.post(
    f"{_VERSION}/approve",
    operation_id="approveVersion",
    summary="Approve a model version",
    response_description="It is approved; `promoted` and `notes` have what followed.",
    responses=PROBLEMS,
    openapi_extra=json_body(VersionDecision),
)
async def approve_version(decisions: Decided, body: Decision) -> DecisionMade:
    """Approve a model version, so that protected aliases may move to it."""
    return await run_in_threadpool(decisions.decide, "approved", body.reason, body.seen)


@router.post(
    f"{_VERSION}/reject",
    operation_id="rejectVersion",
    summary="Reject a model version",
    response_description="It is rejected; no alias has moved.",
    responses=PROBLEMS,
    openapi_extra=json_body(VersionDecision),
)
async def reject_version(decisions: Decided, body: Decision) -> DecisionMade:
    """Reject a model version, which withdraws its approval."""
    return await run_in_threadpool(decisions.decide, "rejected", body.reason, body.seen)


@router.post(
    f"{_VERSION}/promote",
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
    return await run_in_threadpool(decisions.promote, body.alias, body.reason, body.seen)


@router.post(
    f"{_VERSION}/deprecate",
    operation_id="deprecateVersion",
    summary="Deprecate a model version",
    response_description="It is deprecated; no alias has moved.",
    responses=PROBLEMS,
    openapi_extra=json_body(Deprecation),
)
async def deprecate_version(
    decisions: Decided, body: Annotated[Deprecation, Depends(document_of(Deprecation))]
) -> DecisionMade:
    """Deprecate a model version: its record states it, and no alias moves to it any more."""
    return await run_in_threadpool(decisions.deprecate, body.reason, False, body.force, body.seen)


@router.post(
    f"{_VERSION}/reinstate",
    operation_id="reinstateVersion",
    summary="Reinstate a deprecated model version",
    response_description="It is deprecated no more; no alias has moved.",
    responses=PROBLEMS,
    openapi_extra=json_body(VersionDecision),
)
async def reinstate_version(decisions: Decided, body: Decision) -> DecisionMade:
    """Take the deprecation of a model version back, so that aliases may move to it again."""
    return await run_in_threadpool(decisions.deprecate, body.reason, True, False, body.seen)


@router.post(
    f"{_VERSION}/visibility",
    operation_id="setVersionVisibility",
    summary="Set who may see a model version",
    response_description="It is as visible as wanted; `notes` has warnings about its data.",
    responses=PROBLEMS,
    openapi_extra=json_body(ModelVisibilityChange),
)
async def set_version_visibility(
    decisions: Decided,
    body: Annotated[ModelVisibilityChange, Depends(document_of(ModelVisibilityChange))],
) -> VisibilitySet:
    """Set who may see a model version; the record of a private one leaves the catalogue."""
    return await run_in_threadpool(
        decisions.set_visibility, body.visibility, body.reason, body.seen
    )


@router.post(
    "/{model}/rollback",
    operation_id="rollBackModel",
    summary="Move production back to its previous version",
    response_description="The alias has moved.",
    responses=PROBLEMS,
    openapi_extra=json_body(Rollback),
)
async def roll_back_model(
    store: StoreOf,
    hub: HubOf,
    model: Model,
    body: Annotated[Rollback, Depends(document_of(Rollback))],
) -> AliasMoved:
    """Move `production` back to `previous`, which has passed its gates when it was promoted."""
    return await run_in_threadpool(roll_back, store, hub, model, body.reason, body.production)
