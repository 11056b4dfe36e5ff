"""`POST /v2/models/MODEL/truth`: labels of requests that a server has answered.

The body is a JSON list of objects with `id`, `label` and the other columns of a file of labels; the
response counts them. A day of the requests may be named by `?day=YYYY-MM-DD`.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from mlops_assets.errors import RequestRefused
from mlops_assets.serving.authentication import Right, require
from mlops_assets.serving.routes.metadata import json_response
from mlops_assets.serving.routes.state import state_of
from mlops_assets.serving.workers import Workers
from mlops_assets.store import Store
from mlops_assets.text.strict_json import parse_json

if TYPE_CHECKING:
    from mlops_assets.monitoring.truth.add import TruthReport

MAX_BODY = 4 << 20  # bytes: some 50,000 labels, which take about a second
WAITING = 15  # requests, at most


def truth_routes() -> list[BaseRoute]:
    """Return the path of labels, for `ServerSettings.extra_routes`."""
    # one, as labels take many times the memory of their text, and other paths need threads, too
    workers = Workers(1, WAITING)

    async def add(request: Request) -> Response:
        """Add labels to the logged requests of a model, with the roles of the caller."""
        principal = require(request, Right.TRUTH)
        state = state_of(request)
        body = await state.bodies.read(request, MAX_BODY)
        try:
            report = await workers.run(
                _add,
                state.store.acting(principal),
                request.path_params["model"],
                body,
                request.query_params.get("day"),
            )
        finally:
            state.bodies.release(body)
        return json_response(asdict(report))

    return [Route("/v2/models/{model}/truth", add, methods=["POST"])]


def _add(store: Store, model: str, body: bytes, day: str | None) -> TruthReport:
    """Add the labels of a body.

    Raises:
        RequestRefused: it is not a JSON list.
        TruthRefused: a label is not valid; none was added.
    """
    # pandas takes a second of the server's start, and 40 MB of memory
    from mlops_assets.monitoring.truth.add import add_truth
    from mlops_assets.monitoring.truth.label_table import read_entries

    try:
        entries = parse_json(body)
    except ValueError as error:
        raise RequestRefused(f"the body is not valid JSON: {error}") from error
    if not isinstance(entries, list):
        raise RequestRefused("the body must be a list of objects with 'id' and 'label'")
    return add_truth(store, model, read_entries(entries, "the request"), day)
