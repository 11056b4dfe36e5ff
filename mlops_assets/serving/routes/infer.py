"""`POST /v2/models/MODEL[/versions/VERSION]/infer`.

Most requests come here, so it does without the objects of Starlette, which take as long as a small
model.
"""

from __future__ import annotations

import time

from starlette.types import Receive, Scope, Send

from mlops_assets.errors import MlopsError
from mlops_assets.principals import Principal
from mlops_assets.serving.authentication import Right
from mlops_assets.serving.errors import status_of
from mlops_assets.serving.inference import Question
from mlops_assets.serving.metrics import Outcome
from mlops_assets.serving.protocol.answer import Answer
from mlops_assets.serving.protocol.request import HEADER_LENGTH
from mlops_assets.serving.routes.state import ServerState

MAX_INLINE = 256 << 10  # bytes of a request that may be answered without a thread
_HEADER_LENGTH = HEADER_LENGTH.encode()


class InferEndpoint:
    """The endpoint of inference requests, an ASGI app."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Respond to an inference request.

        Raises:
            MlopsError: it is refused or failed; the app responds with the error.
        """
        answer = await _answer(scope, receive)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [
                    *answer.headers,
                    (b"content-length", str(len(answer.body)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})


async def _answer(scope: Scope, receive: Receive) -> Answer:
    state: ServerState = scope["app"].state.server
    principal: Principal = scope["state"]["principal"]
    principal.require(*Right.INFER.value)
    headers = dict(scope["headers"])
    name: str = scope["path_params"]["model"]
    version, status = "", 500
    clock = time.perf_counter()
    try:
        state.workers.check()
        body = await state.bodies.receive(headers, receive)
        clock = time.perf_counter()
        try:
            length = headers.get(_HEADER_LENGTH)
            question = Question(
                name,
                scope["path_params"].get("version"),
                body,
                None if length is None else length.decode("latin-1"),
                principal,
            )
            kind = _kind(question) if state.visible.remembers(principal, name) else None
            answered = await state.workers.run(state.inference.answer, question, kind=kind)
        finally:
            state.bodies.release(body)
        version, status = answered.served.version, 200
    except MlopsError as error:
        status = status_of(error)
        raise
    finally:
        seconds = time.perf_counter() - clock
        state.metrics.count(Outcome(name, version, principal.name, status, seconds))
    return answered.answer


def _kind(question: Question) -> tuple[object, ...] | None:
    """Return what decides how long an answer takes; None for one that may take long."""
    size = len(question.body)
    if size > MAX_INLINE:
        return None
    return question.model, question.version, question.header_length is None, size.bit_length()
