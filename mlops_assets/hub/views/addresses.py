"""Addresses of the hub's pages: each is short, stable, and has the reference of what it shows."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from mlops_assets.names import Reference

TRAIN = "/train"


def data_path(reference: Reference | str) -> str:
    """Return the path of the page of a dataset or data version."""
    return f"/data/{_segment(str(reference))}"


def diff_path(before: Reference, after: str) -> str:
    """Return the path of the page of the differences of two versions of a dataset.

    Args:
        before: `dataset@version`.
        after: the other version, or a tag.
    """
    return f"{data_path(before)}/diff/{_segment(after)}"


def model_path(reference: Reference | str) -> str:
    """Return the path of the page of a model or model version."""
    return f"/models/{_segment(str(reference))}"


def run_path(run_id: str) -> str:
    """Return the path of the page of a run."""
    return f"/runs/{_segment(run_id)}"


def launched_path(orchestration_run: str) -> str:
    """Return the path of the page of a run of Dagster that was launched."""
    return f"/launched/{_segment(orchestration_run)}"


def map_path(model: str, version: str, name: str) -> str:
    """Return the path of the page that shows a map: that of its model version."""
    return f"{model_path(f'{model}@{version}')}?{urlencode({'tab': 'maps', 'map': name})}"


def train_path(model: str | None = None, data: str | None = None, source: str | None = None) -> str:
    """Return the path of the form that starts a training.

    Args:
        model: its name; chosen on the page if None.
        data: version or tag of its dataset; `dataset@version` if there is no model.
        source: run whose values the form begins with.
    """
    parts = {"model": model, "data": data, "from": source}
    given = urlencode({name: value for name, value in parts.items() if value})
    return f"{TRAIN}?{given}" if given else TRAIN


def search_path(text: str, kind: str | None = None, first: int = 0) -> str:
    """Return the path of the page with what a search has found."""
    parts = {"q": text, "kind": kind, "first": first or None}
    return f"/search?{urlencode({name: value for name, value in parts.items() if value})}"


def _segment(text: str) -> str:
    """Return text as one segment of a path; the `@` of references may stay."""
    return quote(text, safe="@")
