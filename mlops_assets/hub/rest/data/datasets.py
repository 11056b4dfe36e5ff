"""The routes of training data: what its pages show, and what their buttons do."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Response
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.data_commits import start_commit
from mlops_assets.hub.data_decisions import VisibilityChanged, change_visibility, give_tag
from mlops_assets.hub.external.routes import DOCUMENT_PROBLEMS, document_of
from mlops_assets.hub.orchestration.launcher import Launched
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.data.schemas import (
    CommitStart,
    TagGiven,
    VisibilityChange,
)
from mlops_assets.hub.rest.openapi import json_body, problems
from mlops_assets.hub.views.data import diff, quality
from mlops_assets.hub.views.data.dataset import MAX_VERSIONS_A_PAGE, DatasetView, dataset
from mlops_assets.hub.views.data.datasets import Datasets, VersionRow, datasets
from mlops_assets.hub.views.data.files.changes import VersionChanges, version_changes
from mlops_assets.hub.views.data.files.listing import (
    FILES_A_PAGE,
    MAX_FILES_A_PAGE,
    FileQuery,
    FilesView,
    version_files,
)
from mlops_assets.hub.views.data.files.manifest_columns import Order
from mlops_assets.hub.views.data.landing import LandingView, landing
from mlops_assets.hub.views.data.preview import MAX_SEEDS, CommitPreview, commit_preview
from mlops_assets.hub.views.data.version import (
    DataVersionView,
    Descendants,
    data_version,
    descendants,
)
from mlops_assets.names import Reference, check_key, check_name

READ = problems(404, 422)
CHANGED = {**DOCUMENT_PROBLEMS, **problems(404, 409)}
PNG = "image/png"

router = APIRouter(prefix="/datasets", tags=["training data"])

Page = Annotated[int, Query(ge=1, le=1_000_000, description="Which page, from 1.")]


async def _name(name: Annotated[str, Path(description="Name of a dataset.")]) -> str:
    return check_name(name, "dataset name")


Name = Annotated[str, Depends(_name)]


async def _version(
    name: Name, version: Annotated[str, Path(description="Version or tag.")]
) -> Reference:
    return Reference(name, check_key(version, "version"))


async def _other(
    name: Name, other: Annotated[str, Path(description="Other version or tag.")]
) -> Reference:
    return Reference(name, check_key(other, "version"))


Version = Annotated[Reference, Depends(_version)]
Other = Annotated[Reference, Depends(_other)]


@router.get(
    "",
    operation_id="listDatasets",
    summary="Return all datasets",
    response_description="Datasets by name, each with its newest version.",
    responses=READ,
)
async def list_datasets(store: StoreOf, hub: HubOf) -> Datasets:
    """Return all datasets that are declared or have a version."""
    return await run_in_threadpool(lambda: datasets(store, hub.datasets))


@router.get(
    "/{name}",
    operation_id="getDataset",
    summary="Return a dataset and its versions",
    response_description="The dataset, with a page of its versions, newest first.",
    responses=READ,
)
async def get_dataset(
    store: StoreOf,
    hub: HubOf,
    name: Name,
    page: Page = 1,
    rows: Annotated[int, Query(ge=1, le=MAX_VERSIONS_A_PAGE, description="Versions a page.")] = 20,
) -> DatasetView:
    """Return a dataset with what each of its versions has changed."""
    return await run_in_threadpool(lambda: dataset(store, hub.datasets, name, page, rows))


@router.get(
    "/{name}/landing",
    operation_id="getLanding",
    summary="Return what has landed and is not committed",
    response_description="The landing, compared with the newest version.",
    responses=READ,
)
async def get_landing(store: StoreOf, hub: HubOf, name: Name) -> LandingView:
    """Return the state of the landing of a dataset, whose files are listed and not read."""
    return await run_in_threadpool(lambda: landing(store, hub.datasets, name))


@router.get(
    "/{name}/preview",
    operation_id="previewCommit",
    summary="Return what a commit would publish",
    response_description="The split, the digest, and all problems; nothing was written.",
    responses={**READ, **problems(409)},
)
async def preview_commit(
    store: StoreOf,
    hub: HubOf,
    name: Name,
    seeds: Annotated[
        int, Query(ge=0, le=MAX_SEEDS, description="Seeds to try beside the declared one, from 0.")
    ] = 0,
) -> CommitPreview:
    """Return what a commit of the landing would publish, which takes as long as reading it."""
    return await run_in_threadpool(lambda: commit_preview(store, hub.datasets, name, range(seeds)))


@router.post(
    "/{name}/commits",
    operation_id="startCommit",
    summary="Commit what has landed",
    status_code=HTTPStatus.ACCEPTED,
    response_description="A run of Dagster commits it; see `/launched/{orchestration_run}`.",
    responses=CHANGED,
    openapi_extra=json_body(CommitStart),
)
async def commit_landing(
    store: StoreOf,
    hub: HubOf,
    name: Name,
    body: Annotated[CommitStart, Depends(document_of(CommitStart))],
) -> Launched:
    """Commit what has landed as a data version, by a run of Dagster."""
    return await run_in_threadpool(
        lambda: start_commit(store, hub.launcher, hub.datasets, name, body.fingerprint)
    )


@router.put(
    "/{name}/tags/{tag}",
    operation_id="giveTag",
    summary="Give a data version a tag",
    response_description="The version has the tag.",
    responses=CHANGED,
    openapi_extra=json_body(TagGiven),
)
async def put_tag(
    store: StoreOf,
    name: Name,
    tag: Annotated[str, Path(description="The tag, which never moves.")],
    body: Annotated[TagGiven, Depends(document_of(TagGiven))],
) -> VersionRow:
    """Give a data version a fixed second name; the same tag on the same version is no change."""
    return await run_in_threadpool(give_tag, store, Reference(name, body.version), tag)


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
