"""`POST /v2/models/MODEL[/versions/VERSION]/infer`."""

from __future__ import annotations

import time

from starlette.requests import Request
from starlette.responses import Response

from mlops_assets.errors import MlopsError
from mlops_assets.principals import Principal
from mlops_assets.serving.authentication import Right, require
from mlops_assets.serving.errors import status_of
from mlops_assets.serving.inference import Question
from mlops_assets.serving.metrics import Outcome
from mlops_assets.serving.protocol.request import HEADER_LENGTH
from mlops_assets.serving.routes.state import ServerState, state_of

MAX_INLINE = 256 << 10  # bytes of a request that may be answered without a thread


async def infer(request: Request) -> Response:
    """Respond to an inference request."""
    state = state_of(request)
    principal = require(request, Right.INFER)
    clock = time.perf_counter()
    model, version, status = "", "", 500
    try:
        state.workers.check()
        body = await state.bodies.read(request)
        clock = time.perf_counter()
        try:
            question = _question(request, principal, body)
            kind = _kind(question) if state.visible.remembers(principal, question.model) else None
            answered = await state.workers.run(state.inference.answer, question, kind=kind)
        finally:
            state.bodies.release(body)
        model, version, status = answered.served.name, answered.served.version, 200
    except MlopsError as error:
        status = status_of(error)
        raise
    finally:
        seconds = time.perf_counter() - clock
        model = model or _served_name(state, request.path_params["model"])
        state.metrics.count(Outcome(model, version, principal.name, status, seconds))
    return Response(answered.answer.body, 200, answered.answer.headers)


def _question(request: Request, principal: Principal, body: bytes) -> Question:
    return Question(
        request.path_params["model"],
        request.path_params.get("version"),
        body,
        request.headers.get(HEADER_LENGTH),
        principal,
    )


def _kind(question: Question) -> tuple[object, ...] | None:
    """Return what decides how long an answer takes; None for one that may take long."""
    size = len(question.body)
    if size > MAX_INLINE:
        return None
    return question.model, question.version, question.header_length is None, size.bit_length()


def _served_name(state: ServerState, name: str) -> str:
    """Return the name of a model as a label, which callers must not be able to multiply."""
    return name if name in state.repository.names() else ""
