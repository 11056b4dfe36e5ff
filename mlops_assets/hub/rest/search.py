"""The route of the search."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.concurrency import run_in_threadpool

from mlops_assets.hub.rest.caller import StoreOf
from mlops_assets.hub.rest.openapi import problems
from mlops_assets.hub.views.search.found import Found, Kind
from mlops_assets.hub.views.search.search import GROUP, MAX_LIMIT, search

MAX_TEXT = 10_000  # characters; of more than `MAX_LENGTH` the rest is left out

router = APIRouter(tags=["search"])


@router.get(
    "/search",
    operation_id="search",
    summary="Search data, models, runs, maps, deployments, files and records",
    response_description="What is found, by kind; `exact` is the page of what `q` names exactly.",
    responses=problems(422),
)
async def get_search(
    store: StoreOf,
    q: Annotated[
        str,
        Query(
            max_length=MAX_TEXT,
            description="A reference, the beginning of a run id, a sha256, or a part of a name,"
            " tag or note.",
        ),
    ],
    kinds: Annotated[list[Kind] | None, Query(description="Kinds; all if not given.")] = None,
    first: Annotated[
        int, Query(ge=0, le=1_000_000, description="Number of the first hit of each kind.")
    ] = 0,
    limit: Annotated[int, Query(ge=1, le=MAX_LIMIT, description="Hits of each kind.")] = GROUP,
) -> Found:
    """Search everything that the caller sees."""
    return await run_in_threadpool(search, store, q, kinds or (), first, limit)
