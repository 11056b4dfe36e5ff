"""Links to data, models, runs and maps."""

from __future__ import annotations

from nicegui import ui

from mlops_assets.hub.views import addresses
from mlops_assets.names import Reference


def data_link(reference: Reference | str, label: str | None = None) -> ui.link:
    """Add a link to a dataset or data version, such as `fields@v2`."""
    return ui.link(str(reference) if label is None else label, addresses.data_path(reference))


def model_link(reference: Reference | str, label: str | None = None) -> ui.link:
    """Add a link to a model or model version, such as `fields_cnn@production`."""
    return ui.link(str(reference) if label is None else label, addresses.model_path(reference))


def run_link(run_id: str, label: str | None = None) -> ui.link:
    """Add a link to a run, by the beginning of its id; its title is the whole one."""
    link = ui.link(run_id[:8] if label is None else label, addresses.run_path(run_id))
    link.classes("hub-id").props["title"] = run_id
    return link


def map_link(model: str, version: str, name: str, label: str | None = None) -> ui.link:
    """Add a link to a map of a model version."""
    return ui.link(name if label is None else label, addresses.map_path(model, version, name))
