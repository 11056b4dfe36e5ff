"""Addresses of Dagster's pages behind the hub."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

PREFIX = "/dagster"


def dagster_run_url(run_id: str) -> str:
    """Return the page of a Dagster run."""
    return f"{PREFIX}/runs/{quote(run_id, safe='')}"


def dagster_asset_url(key: Sequence[str]) -> str:
    """Return the page of an asset, of which `key` has the parts, such as `(MODEL, "record")`."""
    return f"{PREFIX}/assets/{'/'.join(quote(part, safe='') for part in key)}"
