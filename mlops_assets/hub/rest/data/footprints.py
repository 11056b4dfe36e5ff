"""The routes of footprints: what a map shows, and the samples on it as GeoJSON."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response
from fastapi.concurrency import run_in_threadpool
from pydantic_core import to_json

from mlops_assets.errors import SpecificationError
from mlops_assets.hub.rest.caller import StoreOf
from mlops_assets.hub.rest.data.parameters import (
    LASTING,
    MAX_TEXT,
    MOVING,
    READ,
    Version,
    is_version,
)
from mlops_assets.hub.views.footprint_features import (
    DEFAULT_LIMIT,
    MAX_LIMIT,
    MAX_ZOOM,
    FootprintQuery,
    footprint_features,
)
from mlops_assets.hub.views.footprints import Box, By, FootprintView, data_footprints

router = APIRouter(prefix="/datasets/{name}/{version}", tags=["samples"])


async def _footprint_query(
    by: Annotated[By, Query(description="What gives features their category.")] = "split",
    bbox: Annotated[
        str | None,
        Query(max_length=200, description="West, south, east, north in degrees, with commas."),
    ] = None,
    zoom: Annotated[int, Query(ge=0, le=MAX_ZOOM, description="Of a web map.")] = 0,
    limit: Annotated[
        int, Query(ge=1, le=MAX_LIMIT, description="Features at most.")
    ] = DEFAULT_LIMIT,
    only: Annotated[
        str | None, Query(max_length=MAX_TEXT, description="The one category to return.")
    ] = None,
) -> FootprintQuery:
    return FootprintQuery(by, None if bbox is None else _box(bbox), zoom, limit, only)


@router.get(
    "/footprints",
    operation_id="getFootprints",
    summary="Return what the map of a data version shows",
    response_description="Its extent, legends and outlines.",
    responses=READ,
)
async def get_footprints(store: StoreOf, reference: Version) -> FootprintView:
    """Return extent and legends of a data version, and the outlines of its scenes."""
    return await run_in_threadpool(data_footprints, store, reference)


@router.get(
    "/footprints.geojson",
    operation_id="getFootprintFeatures",
    summary="Return the footprints of samples as GeoJSON",
    response_class=Response,
    responses={
        200: {"description": "A FeatureCollection.", "content": {"application/geo+json": {}}},
        **READ,
    },
)
async def get_footprint_features(
    store: StoreOf, reference: Version, query: Annotated[FootprintQuery, Depends(_footprint_query)]
) -> Response:
    """Return the samples within a box; those that would overlap on a map are one feature."""
    found = await run_in_threadpool(footprint_features, store, reference, query)
    headers = {"Cache-Control": LASTING if is_version(reference) else MOVING}
    return Response(to_json(found), media_type="application/geo+json", headers=headers)


def _box(text: str) -> Box:
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError as error:
        raise SpecificationError(
            f"bbox={text!r}: write west,south,east,north in degrees"
        ) from error
    if not all(map(math.isfinite, (west, south, east, north))) or max(abs(west), abs(east)) > 1e6:
        raise SpecificationError(f"bbox={text!r}: write finite degrees")
    return west, south, east, north
