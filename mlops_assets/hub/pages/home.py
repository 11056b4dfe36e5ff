"""Home: what needs attention, and what is new."""

from __future__ import annotations

from nicegui import ui

from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.frame import page


@page("/", "Home")
async def home() -> None:
    """Build the page."""
    datasets, models = await read(lambda store: store.registry.names())
    ui.label(f"{len(datasets)} datasets, {len(models)} models")
