"""The routes of external runs: HTTP methods, paths, status codes and their documentation.

Bodies are read within limits, by `bodies.read_body` or `Staging.receive`: FastAPI reads none.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.external.runs import ExternalRuns
from mlops_assets.hub.external.uploads import NATIVE, Staging
from mlops_assets.hub.rest.bodies import document_of
from mlops_assets.hub.rest.errors import Refused
from mlops_assets.hub.rest.openapi import (
    DOCUMENT_PROBLEMS,
    binary_response,
    file_body,
    json_body,
    problems,
)
from mlops_assets.hub.rest.schemas import (
    FileReceived,
    PointsReceived,
    RunFinish,
    RunPoints,
    RunStart,
    RunState,
)
from mlops_assets.models.export.uploaded_onnx import OUTPUTS
from mlops_assets.names import check_key
from mlops_assets.registry import Run

MAX_FILE = 2 << 30
MAX_FIGURE = 16 << 20
PNG = b"\x89PNG\r\n\x1a\n"
NPY = b"\x93NUMPY"

UPLOAD_PROBLEMS = problems(400, 404, 409, 413, 415, 422, 507)

router = APIRouter(prefix="/runs", tags=["runs"])


@dataclass(frozen=True)
class ExternalState:
    """The state that these routes share.

    Attributes:
        runs: external runs on behalf of no one, who may do nothing.
        max_file: bytes of an uploaded file at most.
    """

    runs: ExternalRuns
    max_file: int


async def _state(request: Request) -> ExternalState:
    state: ExternalState = request.app.state.external
    return state


State = Annotated[ExternalState, Depends(_state)]
RunId = Annotated[UUID, Path(description="UUID of an external run.")]


async def _runs_of_caller(state: State, request: Request) -> ExternalRuns:
    return state.runs.acting(request.state.principal)


Runs = Annotated[ExternalRuns, Depends(_runs_of_caller)]


async def _external_run(runs: Runs, run_id: RunId) -> Run:
    return await run_in_threadpool(runs.external, str(run_id))


async def _running_run(runs: Runs, run_id: RunId) -> Run:
    return await run_in_threadpool(runs.running, str(run_id))


async def _uploads(runs: Runs, run_id: RunId) -> Staging:
    return await run_in_threadpool(runs.receiving, str(run_id))


ExternalRun = Annotated[Run, Depends(_external_run)]
RunningRun = Annotated[Run, Depends(_running_run)]
Uploads = Annotated[Staging, Depends(_uploads)]


@router.post(
    "",
    operation_id="startRun",
    summary="Start or continue a run",
    status_code=HTTPStatus.CREATED,
    response_description="The run has started.",
    response_model_exclude_unset=True,
    responses={
        200: {"model": RunState, "description": "The run was known, and continues."},
        **DOCUMENT_PROBLEMS,
        **problems(404, 409),
    },
    openapi_extra=json_body(RunStart),
)
async def start_run(
    runs: Runs, start: Annotated[RunStart, Depends(document_of(RunStart))], response: Response
) -> RunState:
    """Start a run, or continue it.

    A request with the id of a run of the same model, data, parameters and seed is safe to repeat,
    and continues a run that has failed or was canceled.
    """
    run, known = await run_in_threadpool(runs.start, start)
    if known:
        response.status_code = HTTPStatus.OK
    return await run_in_threadpool(runs.state, run.run_id)


@router.head("/{run_id:uuid}", include_in_schema=False, response_model_exclude_unset=True)
@router.get(
    "/{run_id:uuid}",
    operation_id="getRun",
    summary="Return the state of a run",
    response_description="The state of the run.",
    response_model_exclude_unset=True,
    responses=problems(404),
)
async def get_run(runs: Runs, run_id: RunId) -> RunState:
    """Return the state of a run, and of the publication of its model."""
    return await run_in_threadpool(runs.state, str(run_id))


@router.post(
    "/{run_id:uuid}/points",
    operation_id="logPoints",
    summary="Log metrics",
    response_description="The points are recorded.",
    responses={**DOCUMENT_PROBLEMS, **problems(404, 409)},
    openapi_extra=json_body(RunPoints),
)
async def log_points(
    runs: Runs, run: RunningRun, body: Annotated[RunPoints, Depends(document_of(RunPoints))]
) -> PointsReceived:
    """Append points to a running run; a point that is sent again counts once."""
    await run_in_threadpool(runs.log, run, body.points)
    return PointsReceived(received=len(body.points))


@router.head("/{run_id:uuid}/samples", include_in_schema=False)
@router.get(
    "/{run_id:uuid}/samples",
    operation_id="getSamples",
    summary="Return the samples of the parity check",
    response_class=Response,
    responses={200: binary_response("An NPY file: float32, samples first."), **problems(404, 409)},
)
async def get_samples(runs: Runs, run: RunningRun) -> Response:
    """Return the raw test samples for which the outputs of an ONNX file are to be uploaded."""
    content = await run_in_threadpool(runs.samples, run)
    return Response(content, media_type="application/octet-stream")


@router.put(
    "/{run_id:uuid}/model.onnx",
    operation_id="putOnnxModel",
    summary="Upload the model as an ONNX file",
    response_description="The file is stored until the run is finished.",
    responses=UPLOAD_PROBLEMS,
    openapi_extra=file_body("application/octet-stream"),
)
async def put_onnx_model(uploads: Uploads, state: State, request: Request) -> FileReceived:
    """Upload the model as an ONNX file; an earlier upload is replaced."""
    return await uploads.receive(request, uploads.onnx, state.max_file)


@router.put(
    "/{run_id:uuid}/native/{name}",
    operation_id="putNativeFile",
    summary="Upload a file of the native artefact",
    response_description="The file is stored until the run is finished.",
    responses=UPLOAD_PROBLEMS,
    openapi_extra=file_body("application/octet-stream"),
)
async def put_native_file(
    uploads: Uploads, state: State, name: str, request: Request
) -> FileReceived:
    """Upload one file of the model as its framework writes it; an earlier upload is replaced."""
    target = uploads.folder / NATIVE / check_key(name, "file name")
    return await uploads.receive(request, target, state.max_file)


@router.put(
    "/{run_id:uuid}/outputs/{name}.npy",
    operation_id="putOutputs",
    summary="Upload outputs for the samples of the parity check",
    response_description="The file is stored until the run is finished.",
    responses=UPLOAD_PROBLEMS,
    openapi_extra=file_body("application/octet-stream"),
)
async def put_outputs(
    uploads: Uploads,
    state: State,
    name: Annotated[str, Path(json_schema_extra={"enum": list(OUTPUTS)})],
    request: Request,
) -> FileReceived:
    """Upload the outputs of the model in its own framework, with which the ONNX file must agree."""
    if name not in OUTPUTS:
        raise Refused(
            HTTPStatus.NOT_FOUND, f"outputs {name!r} are unknown; upload {', '.join(OUTPUTS)}"
        )
    target = uploads.folder / "outputs" / f"{name}.npy"
    return await uploads.receive(request, target, state.max_file, NPY)


@router.put(
    "/{run_id:uuid}/figures/{name}.png",
    operation_id="putFigure",
    summary="Upload a figure",
    response_description="The file is stored until the run is finished.",
    responses=UPLOAD_PROBLEMS,
    openapi_extra=file_body("image/png"),
)
async def put_figure(uploads: Uploads, name: str, request: Request) -> FileReceived:
    """Upload a figure, which is published with the model version."""
    target = uploads.folder / "figures" / f"{check_key(name, 'figure')}.png"
    return await uploads.receive(request, target, MAX_FIGURE, PNG)


@router.post(
    "/{run_id:uuid}/finish",
    operation_id="finishRun",
    summary="Finish a run",
    response_description="The run has ended.",
    response_model_exclude_unset=True,
    responses={
        202: {"model": RunState, "description": "The model is being published."},
        **DOCUMENT_PROBLEMS,
        **problems(404, 409),
    },
    openapi_extra=json_body(RunFinish),
)
async def finish_run(
    runs: Runs,
    run: ExternalRun,
    finish: Annotated[RunFinish, Depends(document_of(RunFinish))],
    response: Response,
) -> RunState:
    """End a run; if it succeeded, its model is published, and getRun returns what came of it."""
    if await run_in_threadpool(runs.finish, run, finish):
        response.status_code = HTTPStatus.ACCEPTED
    return await run_in_threadpool(runs.state, run.run_id)
