"""The addresses of datasets, data versions and their differences."""

from __future__ import annotations

from mlops_assets.hub.pages.data.dataset import DatasetPage
from mlops_assets.hub.pages.data.diff import DiffPage
from mlops_assets.hub.pages.data.version_page.page import VersionPage
from mlops_assets.hub.pages.frame import page
from mlops_assets.names import Reference, check_key


@page("/data/{reference}", "{reference}")
async def data(reference: str) -> None:
    """Build the page of a dataset, or of a data version by its version or a tag."""
    parsed = Reference.parse(reference)
    if parsed.what is None:
        await DatasetPage(parsed.name).build()
    else:
        await VersionPage(parsed).build()


@page("/data/{reference}/diff/{other}", "{reference} and {other}")
async def diff(reference: str, other: str) -> None:
    """Build the page of the differences of two versions of a dataset."""
    parsed = Reference.parse(reference)
    await DiffPage(parsed, Reference(parsed.name, check_key(other, "version"))).build()
