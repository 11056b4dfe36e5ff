"""The address of models and of their versions: `/models/NAME` and `/models/NAME@WHAT`."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from mlops_assets.hub.pages.frame import page
from mlops_assets.hub.pages.models.model import ModelPage
from mlops_assets.hub.pages.models.version import VersionPage
from mlops_assets.names import Reference


@page("/models/{reference}", "{reference}")
async def model_or_version(
    reference: str,
    tab: str = "",
    page: Annotated[int, Query(le=1_000_000)] = 1,
    sort: str = "",
    day: str = "",
) -> None:
    """Build the page of a model, or of one of its versions."""
    wanted = Reference.parse(reference)
    if wanted.what is None:
        await ModelPage(wanted.name, tab, page, sort, day).build()
    else:
        await VersionPage(wanted, tab, page).build()
