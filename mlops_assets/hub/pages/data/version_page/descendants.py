"""What was made from a data version: models, maps, other data."""

from __future__ import annotations

from collections.abc import Callable

from nicegui import ui

from mlops_assets.hub.pages.parts.cards import empty, table
from mlops_assets.hub.pages.parts.references import data_link, map_link, model_link
from mlops_assets.hub.pages.parts.texts import number, text, when
from mlops_assets.hub.views.data.version import Descendants
from mlops_assets.lineage.made_from import Made
from mlops_assets.names import Reference
from mlops_assets.paths import predictions_folder

MAX_LISTED = 20
_MEASURES = ("macro_f1", "accuracy", "mean_iou", "rmse", "r2")


def show_descendants(found: Descendants) -> None:
    """Add the models, maps and data versions that were made from a data version."""
    if not (found.models or found.maps or found.data):
        empty("Nothing yet. Train a model on it.", f"mlops train MODEL --data {found.reference}")
        return
    if found.models:
        text("h3", f"{len(found.models):,} model version(s)")
        newest = sorted(found.models, key=lambda made: str(made.created), reverse=True)
        rows = [
            (_model(made), ", ".join(made.names) or None, _measure(made), when(made.created))
            for made in newest[:MAX_LISTED]
        ]
        table("Models trained on it", ["Model version", "Aliases", "Metric", "Made"], rows)
        _more(len(newest))
    if found.maps:
        text("h3", f"{len(found.maps):,} map(s)")
        for made in found.maps[:MAX_LISTED]:
            _map(made)
        _more(len(found.maps))
    if found.data:
        text("h3", f"{len(found.data):,} data version(s)")
        with ui.element("div").classes("hub-row"):
            for reference in found.data[:MAX_LISTED]:
                data_link(reference)
        _more(len(found.data))


def _model(made: Made) -> Callable[[], object]:
    return lambda: model_link(made.reference)


def _measure(made: Made) -> str | None:
    """Return the metric that says most about a model version."""
    name = next((name for name in _MEASURES if name in made.metrics), None)
    return None if name is None else f"{name} {number(made.metrics[name])}"


def _map(made: Made) -> None:
    """Add a link to a map, whose reference is the key of its raster."""
    reference = Reference.parse(made.names[0])
    folder = predictions_folder(reference.name, reference.what or "")
    name = made.reference.removeprefix(f"{folder}/").removesuffix(".tif")
    with ui.element("div").classes("hub-row"):
        map_link(reference.name, reference.what or "", name)
        text("span", f"by {made.names[0]}, {when(made.created)}", "hub-note")


def _more(total: int) -> None:
    if total > MAX_LISTED:
        text("p", f"… and {total - MAX_LISTED:,} more.", "hub-note")
