"""Health, and metadata of the server and its models; metrics."""

from __future__ import annotations

from collections.abc import Mapping

import orjson
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mlops_assets import __version__
from mlops_assets.errors import ModelUnavailable
from mlops_assets.principals import Principal
from mlops_assets.serving.authentication import Right, require
from mlops_assets.serving.metrics import CONTENT_TYPE
from mlops_assets.serving.routes.state import ServerState, state_of
from mlops_assets.serving.sessions.interface import TensorSpec

NAME = "mlops_assets"
EXTENSIONS = ("binary_tensor_data", "model_repository")
PLATFORM = "onnxruntime_onnx"


def json_response(document: object, status: int = 200) -> Response:
    """Return a document as a response."""
    return Response(orjson.dumps(document), status, media_type="application/json")


async def live(_request: Request) -> Response:
    """Respond that the server runs."""
    return json_response({"live": True})


async def ready(request: Request) -> Response:
    """Respond whether all models answer requests, or an earlier version of theirs does.

    Who asks is unknown, so neither models nor reasons are named.
    """
    repository = state_of(request).repository
    states = [state for name in repository.names() for state in repository.status(name)]
    is_ready = all(state.ready for state in states)
    return json_response({"ready": is_ready}, 200 if is_ready else 503)


async def server_metadata(request: Request) -> Response:
    """Respond with the name of the server and the extensions it has."""
    require(request, Right.READ)
    return json_response({"name": NAME, "version": __version__, "extensions": EXTENSIONS})


async def model_metadata(request: Request) -> Response:
    """Respond with inputs, outputs and properties of a model."""
    principal = require(request, Right.READ)
    document = await run_in_threadpool(
        _metadata,
        state_of(request),
        principal,
        request.path_params["model"],
        request.path_params.get("version"),
    )
    return json_response(document)


async def model_ready(request: Request) -> Response:
    """Respond whether a model answers requests; a newer version that cannot is named, too."""
    principal = require(request, Right.READ)
    state = state_of(request)
    model, version = request.path_params["model"], request.path_params.get("version")
    states = await run_in_threadpool(state.states, principal, model)
    if version is None:
        found = states[:1]
    else:
        session = await run_in_threadpool(state.inference.session, principal, model, version)
        found = [each for each in states if each.version == session.served.version]
    reasons = "; ".join(f"{model}: {each.reason}" for each in found if each.reason)
    if not all(each.ready for each in found):
        raise ModelUnavailable(reasons or f"model {model} is not loaded")
    return json_response({"name": model, "ready": True, **({"reason": reasons} if reasons else {})})


async def metrics(request: Request) -> Response:
    """Respond with metrics of the models that the caller may see."""
    principal = require(request, Right.METRICS)
    state = state_of(request)

    def text() -> bytes:
        return state.metrics.text(
            lambda model, version: state.visible.sees(principal, model, version)
        )

    return Response(await run_in_threadpool(text), media_type=CONTENT_TYPE)


def _metadata(
    state: ServerState, principal: Principal, model: str, version: str | None
) -> Mapping[str, object]:
    served = state.inference.session(principal, model, version).served
    return {
        "name": served.name,
        "versions": [
            each
            for each in state.repository.versions(model)
            if state.visible.sees(principal, model, each)
        ],
        "platform": PLATFORM,
        "inputs": [_tensor(spec) for spec in served.inputs],
        "outputs": [_tensor(spec) for spec in served.outputs],
        # values are strings by the protocol: others are JSON
        "properties": {
            name: value if isinstance(value, str) else orjson.dumps(value).decode()
            for name, value in served.properties.items()
        },
    }


def _tensor(spec: TensorSpec) -> Mapping[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
