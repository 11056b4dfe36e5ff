"""The routes of datasets: their versions, what has landed, commits, tags."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.data_commits import start_commit
from mlops_assets.hub.data_decisions import give_tag
from mlops_assets.hub.orchestration.launcher import Launched
from mlops_assets.hub.rest.bodies import document_of
from mlops_assets.hub.rest.caller import HubOf, StoreOf
from mlops_assets.hub.rest.data.parameters import READ, Name, Page
from mlops_assets.hub.rest.data.schemas import (
    CommitStart,
    TagGiven,
)
from mlops_assets.hub.rest.openapi import DOCUMENT_PROBLEMS, json_body, problems
from mlops_assets.hub.views.data.dataset import MAX_VERSIONS_A_PAGE, DatasetView, dataset
from mlops_assets.hub.views.data.datasets import Datasets, VersionRow, datasets
from mlops_assets.hub.views.data.landing import LandingView, landing
from mlops_assets.hub.views.data.preview import MAX_SEEDS, CommitPreview, commit_preview
from mlops_assets.names import Reference

CHANGED = {**DOCUMENT_PROBLEMS, **problems(404, 409)}

router = APIRouter(prefix="/datasets", tags=["training data"])


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
