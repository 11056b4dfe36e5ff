"""Addresses of Dagster's pages behind the hub."""

from __future__ import annotations

from urllib.parse import quote

PREFIX = "/dagster"


def dagster_run_url(run_id: str) -> str:
    """Return the page of a Dagster run."""
    return f"{PREFIX}/runs/{quote(run_id, safe='')}"
