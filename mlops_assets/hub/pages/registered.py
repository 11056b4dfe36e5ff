"""The pages of the hub; each registers itself when it is imported."""

from __future__ import annotations

from mlops_assets.hub.pages import home, launched, search
from mlops_assets.hub.pages.data import index, route, samples
from mlops_assets.hub.pages.models import overview, routes
from mlops_assets.hub.pages.runs import compare, run, table
from mlops_assets.hub.pages.train import page

__all__ = [
    "compare",
    "home",
    "index",
    "launched",
    "overview",
    "page",
    "route",
    "routes",
    "run",
    "samples",
    "search",
    "table",
]
