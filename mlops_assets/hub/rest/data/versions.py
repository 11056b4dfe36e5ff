"""The routes of a data version: files, quality, differences, who may see it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.data_decisions import VisibilityChanged, change_visibility
from mlops_assets.hub.rest.bodies import document_of
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.data.parameters import PNG, READ, Other, Page, Version
from mlops_assets.hub.rest.data.schemas import (
    VisibilityChange,
)
from mlops_assets.hub.rest.openapi import DOCUMENT_PROBLEMS, json_body, problems
from mlops_assets.hub.views.data import diff, quality
from mlops_assets.hub.views.data.files.changes import VersionChanges, version_changes
from mlops_assets.hub.views.data.files.listing import (
    FILES_A_PAGE,
    MAX_FILES_A_PAGE,
    FileQuery,
    FilesView,
    version_files,
)
from mlops_assets.hub.views.data.files.manifest_columns import Order
from mlops_assets.hub.views.data.version import (
    DataVersionView,
    Descendants,
    data_version,
    descendants,
)
from mlops_assets.names import check_key

CHANGED = {**DOCUMENT_PROBLEMS, **problems(404, 409)}

router = APIRouter(prefix="/datasets", tags=["training data"])


@router.get(
    "/{name}/{version}",
    operation_id="getDataVersion",
    summary="Return a data version",
    response_description="The data version.",
    responses=READ,
)
async def get_data_version(store: StoreOf, hub: HubOf, reference: Version) -> DataVersionView:
    """Return what a data version is, where it is from, and the outcome of its checks."""
    return await run_in_threadpool(lambda: data_version(store, hub.datasets, reference))


@router.get(
    "/{name}/{version}/changes",
    operation_id="getChanges",
    summary="Return what a data version changed",
    response_description="Files against the version before, and where the bytes are.",
    responses=READ,
)
async def get_changes(store: StoreOf, reference: Version) -> VersionChanges:
    """Return the number of files that a version added, removed and changed, and its new bytes."""
    return await run_in_threadpool(version_changes, store, reference)


@router.get(
    "/{name}/{version}/made",
    operation_id="getDescendants",
    summary="Return what was made from a data version",
    response_description="Model versions, maps and data versions.",
    responses=READ,
)
async def get_descendants(store: StoreOf, reference: Version) -> Descendants:
    """Return what was made from a data version, as far as the caller may see it."""
    return await run_in_threadpool(descendants, store, reference)


@router.get(
    "/{name}/{version}/files",
    operation_id="listFiles",
    summary="Return files of a data version",
    response_description="A page of the files.",
    responses=READ,
)
async def list_files(
    store: StoreOf,
    reference: Version,
    text: Annotated[str, Query(max_length=255, description="That paths contain.")] = "",
    split: Annotated[
        str | None, Query(max_length=20, description="train, validation, test or left out.")
    ] = None,
    label: Annotated[str | None, Query(max_length=255, description="Name of a class.")] = None,
    order: Annotated[Order, Query(description="Order of the files.")] = "path",
    page: Page = 1,
    rows: Annotated[
        int, Query(ge=1, le=MAX_FILES_A_PAGE, description="Files a page.")
    ] = FILES_A_PAGE,
) -> FilesView:
    """Return a page of the files of a data version, with their splits and classes."""
    query = FileQuery(text, split, label, order, page, rows)
    return await run_in_threadpool(version_files, store, reference, query)


@router.get(
    "/{name}/{version}/quality",
    operation_id="getQuality",
    summary="Return the quality report of a data version",
    response_description="Checks and their findings.",
    responses=READ,
)
async def get_quality(store: StoreOf, hub: HubOf, reference: Version) -> quality.QualityView:
    """Return the outcomes of the checks, by the thresholds that are declared now."""
    return await run_in_threadpool(lambda: quality.quality(store, hub.datasets, reference))


@router.get(
    "/{name}/{version}/quality/bands",
    operation_id="getBandStatistics",
    summary="Return the values of bands",
    response_description="Percentiles and histograms of training values.",
    responses=READ,
)
async def get_bands(
    store: StoreOf,
    reference: Version,
    first: Annotated[int, Query(ge=1, le=1_000_000, description="First band, from 1.")] = 1,
    limit: Annotated[int, Query(ge=1, le=quality.MAX_BANDS, description="Bands at most.")] = 50,
) -> quality.BandsView:
    """Return percentiles, histograms and shares of unusable values of bands or features."""
    return await run_in_threadpool(quality.bands, store, reference, first, limit)


@router.get(
    "/{name}/{version}/quality/report",
    operation_id="getQualityReport",
    summary="Return the whole quality report",
    response_class=Response,
    response_description="`quality.json`, as it was published.",
    responses={200: {"content": {"application/json": {"schema": {"type": "object"}}}}, **READ},
)
async def get_report(store: StoreOf, reference: Version) -> Response:
    """Return the report of a data version with every measurement."""
    content = await run_in_threadpool(quality.report_bytes, store, reference)
    return Response(content, media_type="application/json")


@router.get(
    "/{name}/{version}/figures/{figure}",
    operation_id="getDataFigure",
    summary="Return a figure of the quality report",
    response_class=Response,
    response_description="The figure.",
    responses={200: {"content": {PNG: {}}}, **READ},
)
async def get_figure(
    store: StoreOf,
    reference: Version,
    figure: Annotated[str, Path(description="Name of the figure.")],
) -> Response:
    """Return a figure of the quality report of a data version, as PNG."""
    content = await run_in_threadpool(
        quality.figure_bytes, store, reference, check_key(figure, "figure")
    )
    return Response(content, media_type=PNG)


@router.get(
    "/{name}/{version}/diff/{other}",
    operation_id="diffDataVersions",
    summary="Compare two data versions",
    response_description="The differences, with the number of rows of each list.",
    responses=READ,
)
async def get_diff(store: StoreOf, reference: Version, other: Other) -> diff.DiffView:
    """Return the differences of two versions of a dataset."""
    return await run_in_threadpool(diff.version_diff, store, reference, other)


@router.get(
    "/{name}/{version}/diff/{other}/rows",
    operation_id="listDifferences",
    summary="Return one list of differences",
    response_description="A page of the list.",
    responses=READ,
)
async def get_diff_rows(
    store: StoreOf,
    reference: Version,
    other: Other,
    listed: Annotated[diff.Listed, Query(description="Which list.")],
    page: Page = 1,
    rows: Annotated[
        int, Query(ge=1, le=diff.MAX_ROWS_A_PAGE, description="Rows a page.")
    ] = diff.ROWS_A_PAGE,
) -> diff.DiffRows:
    """Return files or samples that differ between two versions of a dataset."""
    return await run_in_threadpool(diff.diff_rows, store, reference, other, listed, page, rows)


@router.put(
    "/{name}/{version}/visibility",
    operation_id="setDataVisibility",
    summary="Change who may see a data version",
    response_description="Who may see it now.",
    responses=CHANGED,
    openapi_extra=json_body(VisibilityChange),
)
async def put_visibility(
    store: StoreOf,
    reference: Version,
    body: Annotated[VisibilityChange, Depends(document_of(VisibilityChange))],
) -> VisibilityChanged:
    """Change who may see a data version, whose record moves to the catalogue it belongs in."""
    return await run_in_threadpool(
        change_visibility, store, reference, body.visibility, body.reason
    )
