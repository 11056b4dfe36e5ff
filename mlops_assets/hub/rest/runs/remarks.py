"""The routes of notes and tags of runs."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub import run_remarks
from mlops_assets.hub.rest.bodies import document_of
from mlops_assets.hub.rest.caller import StoreOf
from mlops_assets.hub.rest.openapi import DOCUMENT_PROBLEMS, json_body, problems
from mlops_assets.hub.rest.runs.history import PROBLEMS, RunId
from mlops_assets.hub.rest.runs.schemas import RunNoteText, RunTagChange
from mlops_assets.hub.views.runs.record import RunRecord

router = APIRouter(tags=["runs"])


@router.post(
    "/runs/{run_id}/notes",
    operation_id="noteRun",
    summary="Add a note to a run",
    response_description="The record of the run, with the note.",
    responses={**DOCUMENT_PROBLEMS, **PROBLEMS},
    openapi_extra=json_body(RunNoteText),
)
async def note_run(
    store: StoreOf, run_id: RunId, body: Annotated[RunNoteText, Depends(document_of(RunNoteText))]
) -> RunRecord:
    """Add a note to a run; notes are never changed."""
    return await run_in_threadpool(run_remarks.note_run, store, run_id, body.text)


@router.post(
    "/runs/{run_id}/tags",
    operation_id="tagRun",
    summary="Set or remove a tag of a run",
    response_description="The record of the run, with its tags.",
    responses={**DOCUMENT_PROBLEMS, **PROBLEMS, **problems(409)},
    openapi_extra=json_body(RunTagChange),
)
async def tag_run(
    store: StoreOf, run_id: RunId, body: Annotated[RunTagChange, Depends(document_of(RunTagChange))]
) -> RunRecord:
    """Set a tag of a run, or remove one that a user has set; filters find it as `tags.NAME`."""
    return await run_in_threadpool(run_remarks.tag_run, store, run_id, body.name, body.value)
