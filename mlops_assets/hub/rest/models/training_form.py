"""The route of the form that starts a training."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query
from fastapi.concurrency import run_in_threadpool

from mlops_assets.errors import NotFound
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.openapi import problems
from mlops_assets.hub.views.training.form import TrainingForm, training_form
from mlops_assets.names import check_name

MAX_TEXT = 255  # characters

router = APIRouter(prefix="/models/{model}", tags=["models"])


@router.get(
    "/form",
    operation_id="getTrainingForm",
    summary="Return what a training can be started with",
    response_description="Parameters with their types, limits and defaults, and data versions.",
    responses=problems(404, 422),
)
async def get_training_form(
    hub: HubOf,
    store: StoreOf,
    model: Annotated[str, Path(description="Name of a model that the project declares.")],
    data: Annotated[
        str | None,
        Query(max_length=MAX_TEXT, description="Version or tag to train on; the newest if none."),
    ] = None,
    source: Annotated[
        str | None,
        Query(alias="from", max_length=MAX_TEXT, description="Run whose values are returned."),
    ] = None,
) -> TrainingForm:
    """Return the form of a model; `POST /api/v1/trainings` starts a training with its values."""
    declared = hub.models.get(check_name(model, "model"))
    if declared is None:
        raise NotFound(f"the project of this server does not declare the model {model}")
    return await run_in_threadpool(training_form, store, declared, data, source)
