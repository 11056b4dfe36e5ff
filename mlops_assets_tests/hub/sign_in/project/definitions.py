"""The page `/probe`: what its user enters is written to the registry by a button."""

from __future__ import annotations

from nicegui import ui

from mlops_assets.hub.pages.caller import perform
from mlops_assets.hub.pages.frame import page
from mlops_assets.store import Store
from mlops_assets_tests.components.project import definitions

PROBES = "file:///probes"

defs = definitions(name="declared_crops", bands=["ndvi_03", "ndvi_04"])


def save(store: Store, text: str) -> str:
    """Write a text to the registry, which takes the role scientist."""
    store.registry.remember_landed(PROBES, [(text, 1, store.registry.principal.name, "0" * 64)])
    return f"saved {text} for {store.registry.principal.name}"


@page("/probe", "Probe")
async def probe() -> None:
    """Build the page."""
    entered = ui.input("Text")
    shown = ui.label("nothing yet")

    async def act() -> None:
        saved = await perform(save, entered.value)
        if saved is not None:
            shown.text = saved

    ui.button("Save", on_click=act)
