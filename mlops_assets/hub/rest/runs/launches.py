"""The routes of runs that the hub launches: trainings, sweeps, and their end."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.rest.bodies import document_of
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.openapi import DOCUMENT_PROBLEMS, json_body, problems
from mlops_assets.hub.rest.runs.launch_schemas import (
    LaunchedRun,
    LaunchedRunState,
    StopRequested,
    TrainingStart,
)

PROBLEMS = problems(404, 409, 422)

router = APIRouter(tags=["orchestration"])

RunId = Annotated[UUID, Path(description="UUID of a run.")]
DagsterRun = Annotated[str, Path(description="Id of a run of Dagster.", max_length=255)]


@router.post(
    "/trainings",
    operation_id="startTraining",
    summary="Start a training, or a sweep",
    status_code=HTTPStatus.ACCEPTED,
    response_description="It is in Dagster's queue; `notice` says what keeps it there.",
    responses={**DOCUMENT_PROBLEMS, **PROBLEMS},
    openapi_extra=json_body(TrainingStart),
)
async def start_training(
    hub: HubOf, store: StoreOf, body: Annotated[TrainingStart, Depends(document_of(TrainingStart))]
) -> LaunchedRun:
    """Train a declared model on a data version, as `mlops train` and `mlops sweep` do.

    Dagster runs it; the run is recorded as the caller's.
    """
    return LaunchedRun.of(await run_in_threadpool(hub.launcher.train, store, body.request()))


@router.post(
    "/runs/{run_id:uuid}/stop",
    operation_id="stopRun",
    summary="Stop a run that is under way",
    status_code=HTTPStatus.ACCEPTED,
    response_description="It was asked to stop, which takes seconds; its checkpoint is kept.",
    responses=PROBLEMS,
)
async def stop_run(hub: HubOf, store: StoreOf, run_id: RunId) -> StopRequested:
    """Stop a run so that it can be resumed; the trials of a sweep stop together.

    409 if it is not under way, is external, or runs where only its own machine can stop it.
    """

    def stop() -> StopRequested:
        run = store.registry.run(str(run_id))
        hub.launcher.stop(store, run)
        return StopRequested(run_id=run.run_id, status=run.status)

    return await run_in_threadpool(stop)


@router.post(
    "/runs/{run_id:uuid}/resume",
    operation_id="resumeRun",
    summary="Resume a run from its newest checkpoint",
    status_code=HTTPStatus.ACCEPTED,
    response_description="Its continuation is in Dagster's queue.",
    responses=PROBLEMS,
)
async def resume_run(hub: HubOf, store: StoreOf, run_id: RunId) -> LaunchedRun:
    """Resume a run that failed or was stopped, as `mlops run resume` does."""

    def resume() -> LaunchedRun:
        return LaunchedRun.of(hub.launcher.resume(store, store.registry.run(str(run_id))))

    return await run_in_threadpool(resume)


@router.get(
    "/launched/{run_id}",
    operation_id="getLaunched",
    summary="Get what became of a run that was launched",
    responses=PROBLEMS,
)
async def get_launched(hub: HubOf, store: StoreOf, run_id: DagsterRun) -> LaunchedRunState:
    """Return state and errors of a run of Dagster, and the training runs that it has begun."""
    return LaunchedRunState.of(await run_in_threadpool(hub.launcher.state, store, run_id))


@router.post(
    "/launched/{run_id}/cancel",
    operation_id="cancelLaunched",
    summary="Cancel a run that was launched",
    status_code=HTTPStatus.ACCEPTED,
    response_description="It was canceled, or was asked to end, which takes seconds.",
    responses=PROBLEMS,
)
async def cancel_launched(hub: HubOf, store: StoreOf, run_id: DagsterRun) -> LaunchedRunState:
    """Cancel a run of Dagster, whether it has begun or waits in the queue."""

    def cancel() -> LaunchedRunState:
        hub.launcher.cancel(store, run_id)
        return LaunchedRunState.of(hub.launcher.state(store, run_id))

    return await run_in_threadpool(cancel)
