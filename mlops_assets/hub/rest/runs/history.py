"""The routes of the history of runs: table, records, curves, output, comparisons.

Those of external runs, which record their own history, are in `external.routes`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import JsonValue

from mlops_assets.hub.orchestration.captured_output import CapturedOutput
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.openapi import problems
from mlops_assets.hub.views.runs.comparison import (
    MEDIA_TYPES,
    ReportFormat,
    RunComparison,
    comparison_report,
    run_comparison,
)
from mlops_assets.hub.views.runs.curves import MAX_POINTS, Curves, run_curves
from mlops_assets.hub.views.runs.output import RunOutput, run_output
from mlops_assets.hub.views.runs.record import RunRecord, run_document, run_record
from mlops_assets.hub.views.runs.table import (
    MAX_PAGE,
    PAGE,
    RunColumns,
    RunTable,
    csv_lines,
    point_lines,
    run_columns,
    run_table,
)
from mlops_assets.registry.search.cql2 import MAX_LENGTH
from mlops_assets.registry.search.run_search import NEWEST, RunQuery

MAX_COLUMNS_TEXT = 8_000  # characters
MAX_OFFSET = 2**53
CSV = "text/csv; charset=utf-8"
PROBLEMS = problems(404, 422)

router = APIRouter(tags=["runs"])

RunId = Annotated[
    str, Path(min_length=1, max_length=100, description="Id of a run, or its beginning.")
]


async def _query(
    model: Annotated[
        str | None, Query(max_length=255, description="Only runs of this model.")
    ] = None,
    where: Annotated[
        str | None,
        Query(max_length=MAX_LENGTH, description="Filter in CQL2, as of `mlops run list --where`."),
    ] = None,
    sort: Annotated[
        str, Query(max_length=1_000, description="Name to sort by; descending with `-` before it.")
    ] = NEWEST,
    status: Annotated[
        str | None, Query(max_length=255, description="Only runs of this status.")
    ] = None,
    created_by: Annotated[
        str | None, Query(max_length=255, description="Only runs of this user.")
    ] = None,
) -> RunQuery:
    return RunQuery(
        model or None, (where or "").strip() or None, sort, status or None, created_by or None
    )


async def _columns(
    columns: Annotated[
        str,
        Query(
            max_length=MAX_COLUMNS_TEXT,
            description="Names with commas between; those that have one in double quotes.",
        ),
    ] = "",
) -> tuple[str, ...]:
    return split_names(columns)


Question = Annotated[RunQuery, Depends(_query)]
Columns = Annotated[tuple[str, ...], Depends(_columns)]


def split_names(text: str) -> tuple[str, ...]:
    """Return names that are written with commas between, as in CSV."""
    line = next(csv.reader([text.replace("\n", " ").replace("\r", " ")]), [])
    return tuple(dict.fromkeys(name.strip() for name in line if name.strip()))


@router.get(
    "/runs",
    operation_id="listRuns",
    summary="Return a page of the table of runs",
    response_description="The page.",
    responses=PROBLEMS,
)
async def list_runs(
    store: StoreOf,
    query: Question,
    columns: Columns,
    first: Annotated[int, Query(ge=0, lt=2**31, description="Number of the first row.")] = 0,
    limit: Annotated[int, Query(ge=0, le=MAX_PAGE, description="Rows at most.")] = PAGE,
) -> RunTable:
    """Return runs that a filter holds for, in an order, with the values of some columns."""
    return await run_in_threadpool(run_table, store, query, first, limit, columns)


@router.get(
    "/runs.csv",
    operation_id="listRunsAsCsv",
    summary="Return the table of runs as CSV",
    response_class=Response,
    responses={200: {"description": "All rows.", "content": {CSV: {}}}, **PROBLEMS},
)
async def list_runs_as_csv(store: StoreOf, query: Question, columns: Columns) -> Response:
    """Return all runs that a filter holds for.

    A text that a spreadsheet would take for a formula has a quote before it.
    """
    lines = await run_in_threadpool(_begun, csv_lines(store, query, columns))
    return _download(lines, "runs.csv")


@router.get(
    "/runs/columns",
    operation_id="listRunColumns",
    summary="Return the names that may be columns of the table of runs",
    response_description="The names.",
    responses=PROBLEMS,
)
async def list_run_columns(store: StoreOf, query: Question) -> RunColumns:
    """Return the names of everything that runs have recorded, such as metrics and parameters."""
    return await run_in_threadpool(run_columns, store, query)


@router.get(
    "/runs/compare",
    operation_id="compareRuns",
    summary="Compare runs",
    response_description="The comparison; as a report where a format is asked for.",
    response_model=RunComparison,
    responses={
        200: {"content": {media_type: {} for media_type in MEDIA_TYPES.values()}},
        **PROBLEMS,
    },
)
async def compare(
    store: StoreOf,
    runs: Annotated[
        str, Query(max_length=1_000, description="Two to six ids, with commas between.")
    ],
    on: Annotated[
        str | None,
        Query(max_length=255, description="`dataset@version` to measure all models on."),
    ] = None,
    report: Annotated[
        ReportFormat | None, Query(alias="format", description="Format of a report.")
    ] = None,
) -> RunComparison | Response:
    """Compare runs: metrics with intervals, parameters, data, code, environment, confusion.

    With `on`, all models are measured now, which takes as long as an evaluation.
    """
    ids = split_names(runs)
    if report is None:
        return await run_in_threadpool(run_comparison, store, ids, on or None)
    content = await run_in_threadpool(comparison_report, store, ids, on or None, report)
    name = f"comparison.{report}"
    return Response(content, media_type=MEDIA_TYPES[report], headers=_as_file(name))


@router.get(
    "/runs/{run_id}/record",
    operation_id="getRunRecord",
    summary="Return what is recorded of a run",
    response_description="The record.",
    responses=PROBLEMS,
)
async def get_run_record(store: StoreOf, run_id: RunId) -> RunRecord:
    """Return what is recorded of a run, with its tags and notes; `getRun` is for external ones."""
    return await run_in_threadpool(run_record, store, run_id)


@router.get(
    "/runs/{run_id}/run.json",
    operation_id="getRunDocument",
    summary="Return the document of a run",
    response_description="The document.",
    responses=PROBLEMS,
)
async def get_run_document(
    store: StoreOf, run_id: RunId, response: Response
) -> dict[str, JsonValue]:
    """Return the columns of a run as its `run.json` has them."""
    found = await run_in_threadpool(run_document, store, run_id)
    response.headers.update(_as_file("run.json"))
    return dict(found)


@router.get(
    "/runs/{run_id}/points.csv",
    operation_id="getRunPoints",
    summary="Return every logged point of a run",
    response_class=Response,
    responses={200: {"description": "All points.", "content": {CSV: {}}}, **PROBLEMS},
)
async def get_run_points(store: StoreOf, run_id: RunId) -> Response:
    """Return every logged point: number, metric, step, value, seconds since the epoch."""
    lines = await run_in_threadpool(_begun, point_lines(store, run_id))
    return _download(lines, "points.csv")


@router.get(
    "/runs/{run_id}/curves",
    operation_id="getRunCurves",
    summary="Return the logged metrics of a run as curves",
    response_description="The curves.",
    responses=PROBLEMS,
)
async def get_run_curves(
    store: StoreOf,
    run_id: RunId,
    first: Annotated[
        int, Query(ge=0, lt=2**31, description="Number of the first point: `next` of before.")
    ] = 0,
    limit: Annotated[
        int, Query(ge=4, le=MAX_POINTS, description="Points of each curve at most.")
    ] = MAX_POINTS,
) -> Curves:
    """Return the logged metrics, from a point on; of long curves, the points that stand out."""
    return await run_in_threadpool(run_curves, store, run_id, first, limit)


@router.get(
    "/runs/{run_id}/output",
    operation_id="getRunOutput",
    summary="Return what a run has printed",
    response_description="The end of the output.",
    responses=PROBLEMS,
)
async def get_run_output(
    hub: HubOf,
    store: StoreOf,
    run_id: RunId,
    first: Annotated[
        int, Query(ge=0, lt=MAX_OFFSET, description="Number of the first byte: `next` of before.")
    ] = 0,
) -> RunOutput:
    """Return what a run has printed, also while it is running; of a long output, the end."""
    captured = CapturedOutput(hub.dagster_home).read
    return await run_in_threadpool(run_output, store, run_id, first, captured)


def _begun(lines: Iterator[str]) -> Iterator[str]:
    """Return lines whose first is read, so that what is wrong with a request is found now."""
    first = next(lines)

    def every() -> Iterator[str]:
        yield first
        yield from lines

    return every()


def _download(lines: Iterator[str], name: str) -> Response:
    return StreamingResponse(lines, media_type=CSV, headers=_as_file(name))


def _as_file(name: str) -> dict[str, str]:
    return {"Content-Disposition": f'attachment; filename="{name}"'}
