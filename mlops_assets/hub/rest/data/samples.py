"""The routes of samples: lists, chips, values.

Chips are decoded by two threads, so that a page of them leaves the server responsive.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.rest.caller import StoreOf
from mlops_assets.hub.rest.data.parameters import (
    FLEETING,
    LASTING,
    MAX_TEXT,
    MOVING,
    PNG,
    READ,
    Version,
    is_version,
)
from mlops_assets.hub.views.samples.chips import (
    DEFAULT_SIDE,
    MAX_SIDE,
    MIN_SIDE,
    ChipRequest,
    Stretch,
    chip,
)
from mlops_assets.hub.views.samples.listing import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    Order,
    SampleFilter,
    SamplePage,
    list_samples,
)
from mlops_assets.hub.views.samples.sample import SampleDetail, sample_detail

DECODERS = ThreadPoolExecutor(2, thread_name_prefix="chips")

router = APIRouter(prefix="/datasets/{name}/{version}", tags=["samples"])


async def _chip_request(
    bands: Annotated[
        str | None,
        Query(
            max_length=MAX_TEXT,
            description="`true`, `false` (colour), or names of one or three bands, with commas.",
        ),
    ] = None,
    labels: Annotated[bool, Query(description="Draw labels over the pixels.")] = False,
    stretch: Annotated[
        Stretch, Query(description="By the values of the training split, or of the chip alone.")
    ] = "version",
    size: Annotated[
        int, Query(ge=MIN_SIDE, le=MAX_SIDE, description="Height and width at most, pixels.")
    ] = DEFAULT_SIDE,
    placeholder: Annotated[
        bool, Query(description="Draw a sample that cannot be read as a crossed box.")
    ] = False,
) -> ChipRequest:
    return ChipRequest(bands, labels, stretch, size, placeholder)


async def _filter(
    class_name: Annotated[
        str | None,
        Query(alias="class", max_length=MAX_TEXT, description="Name or value of their class."),
    ] = None,
    split: Annotated[
        str | None, Query(max_length=20, description="train, validation, test or left_out.")
    ] = None,
    text: Annotated[
        str | None, Query(max_length=MAX_TEXT, description="Part of their path or group.")
    ] = None,
    suspicious: Annotated[
        bool, Query(description="Only those whose label the quality report names, worst first.")
    ] = False,
    order: Annotated[
        Order, Query(description="As the version has them, or always the same random order.")
    ] = "file",
) -> SampleFilter:
    return SampleFilter(class_name, split, text, suspicious, order)


Index = Annotated[int, Path(ge=0, lt=2**53, description="Position of the sample, from 0.")]


@router.get(
    "/samples",
    operation_id="listSamples",
    summary="List samples of a data version",
    response_description="The samples, and what they can be filtered by.",
    responses=READ,
)
async def get_samples(
    store: StoreOf,
    reference: Version,
    wanted: Annotated[SampleFilter, Depends(_filter)],
    first: Annotated[int, Query(ge=0, lt=2**53, description="How many are left out.")] = 0,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="Samples at most.")
    ] = DEFAULT_LIMIT,
) -> SamplePage:
    """Return samples of a data version with their labels, splits and places."""
    return await run_in_threadpool(list_samples, store, reference, wanted, first, limit)


@router.get(
    "/samples/{index}.png",
    operation_id="getChip",
    summary="Return a picture of a sample",
    response_class=Response,
    responses={
        200: {"description": "The picture.", "content": {PNG: {}}},
        304: {"description": "The picture has not changed."},
        **READ,
    },
)
async def get_chip(
    request: Request,
    store: StoreOf,
    reference: Version,
    index: Index,
    asked: Annotated[ChipRequest, Depends(_chip_request)],
) -> Response:
    """Return a sample as a PNG: pixels in colour, or the features of a table's row as a line."""
    known = request.headers.get("if-none-match")
    draw = partial(chip, store, reference, index, asked, known)
    found = await asyncio.get_running_loop().run_in_executor(DECODERS, draw)
    lasting = MOVING if not is_version(reference) else LASTING
    headers = {"ETag": found.etag, "Cache-Control": lasting if found.lasting else FLEETING}
    if found.content is None:
        return Response(status_code=304, headers=headers)
    return Response(found.content, media_type=PNG, headers=headers)


@router.get(
    "/samples/{index}",
    operation_id="getSample",
    summary="Return one sample",
    response_description="Its label, place, values and files.",
    responses=READ,
)
async def get_sample(store: StoreOf, reference: Version, index: Index) -> SampleDetail:
    """Return all that is known of one sample; of one that cannot be read, why."""
    return await run_in_threadpool(sample_detail, store, reference, index)
