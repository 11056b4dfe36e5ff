"""The repository extension: what is served, loading and unloading."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response

from mlops_assets.errors import NotFound, RequestRefused
from mlops_assets.principals import Principal
from mlops_assets.serving.authentication import Right, require
from mlops_assets.serving.protocol.request import read_document
from mlops_assets.serving.routes.metadata import json_response
from mlops_assets.serving.routes.state import ServerState, state_of

MAX_DOCUMENT = 64 << 10  # bytes of a request of these paths
# Triton's, by which a model is given instead of named
_UNSUPPORTED = ("config", "file:")


async def index(request: Request) -> Response:
    """Respond with the models that the caller may see, and their states."""
    principal = require(request, Right.READ)
    state = state_of(request)
    document = await _document(request)
    wanted = document.get("ready", False)
    if not isinstance(wanted, bool):
        raise RequestRefused("'ready' must be true or false: true lists what is ready only")
    return json_response(await run_in_threadpool(_index, state, principal, wanted))


async def load(request: Request) -> Response:
    """Load what the aliases of a model are now; respond once it is ready."""
    state, model = await _administered(request)
    await run_in_threadpool(state.repository.load, model)
    return json_response({})


async def unload(request: Request) -> Response:
    """Stop serving a model."""
    state, model = await _administered(request)
    await run_in_threadpool(state.repository.unload, model)
    return json_response({})


async def _administered(request: Request) -> tuple[ServerState, str]:
    principal = require(request, Right.LOAD)
    state = state_of(request)
    model: str = request.path_params["model"]
    parameters = (await _document(request)).get("parameters") or {}
    if not isinstance(parameters, dict):
        raise RequestRefused("'parameters' must be an object")
    if any(name.startswith(_UNSUPPORTED) for name in parameters):
        raise RequestRefused(
            "a model cannot be sent with the request; record it, promote it, and load its name"
        )
    await run_in_threadpool(state.states, principal, model)
    return state, model


async def _document(request: Request) -> Mapping[str, object]:
    return read_document(await state_of(request).bodies.read(request, MAX_DOCUMENT))


def _index(
    state: ServerState, principal: Principal, only_ready: bool
) -> list[Mapping[str, object]]:
    listed: list[Mapping[str, object]] = []
    for model in state.repository.names():
        try:
            states = state.states(principal, model)
        except NotFound:
            continue
        listed += [
            {
                "name": each.name,
                "version": each.version or "",
                "state": "READY" if each.ready else "UNAVAILABLE",
                "reason": each.reason or "",
            }
            for each in states
            if each.ready or not only_ready
        ]
    return listed
