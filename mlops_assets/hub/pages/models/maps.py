"""Maps of a model, each beside where it is applicable."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from nicegui import ui

from mlops_assets.hub.pages.parts.cards import card, empty, facts
from mlops_assets.hub.pages.parts.references import data_link, model_link
from mlops_assets.hub.pages.parts.texts import NONE, share, text, when
from mlops_assets.hub.views.models.maps import ShownMap


def show_maps(model: str, found: Sequence[ShownMap], page: int, path: str, size: int) -> None:
    """Add a page of maps.

    Args:
        model: that has made them.
        found: the maps, newest first.
        page: number of the page, from 1.
        path: of the page, with its query but `page`.
        size: maps of a page at most.
    """
    if not found:
        with card("Maps"):
            if page == 1:
                empty("No map yet. Predict a scene:", f"mlops predict {model}@production scene.tif")
            else:
                empty("There are no older maps.")
        return
    with ui.element("div").classes("hub-maps"):
        for own in found:
            _map(model, own)
    with ui.element("nav").classes("hub-row") as nav:
        nav.props["aria-label"] = "Pages"
        if page > 1:
            ui.link("Newer maps", f"{path}&page={page - 1}")
        if len(found) == size:
            ui.link("Older maps", f"{path}&page={page + 1}")


def file_path(model: str, version: str, name: str) -> str:
    """Return the path of a published file of a model version."""
    return f"{_api(model, version)}/files/{quote(name)}"


def _api(model: str, version: str) -> str:
    return f"/api/v1/models/{quote(model, safe='')}/{quote(version, safe='')}"


def _map(model: str, own: ShownMap) -> None:
    with card(own.name) as body:
        body.props["id"] = f"map-{own.item}"
        with ui.element("div").classes("hub-pictures"):
            if own.picture is not None:
                _picture(
                    file_path(model, own.version, own.picture),
                    f"Map {own.name} of {model}@{own.version}",
                    "Predicted classes or values",
                )
            if own.has_applicability:
                name = quote(own.name)
                _picture(
                    f"{_api(model, own.version)}/maps/{name}/applicability.png",
                    f"Where map {own.name} is applicable",
                    "Blue: inside the area of applicability; orange: outside",
                )
        facts(
            {
                "made by": lambda: model_link(f"{model}@{own.version}"),
                "trained on": lambda: data_link(own.data),
                "outside": share(own.outside),
                "area": own.area,
                "acquired": own.day,
                "made": f"{when(own.created)} by {own.created_by}",
                "files": lambda: _files(model, own),
            }
        )


def _picture(source: str, alternative: str, caption: str) -> None:
    with ui.element("figure"):
        image = ui.element("img")
        image.props.update({"src": source, "alt": alternative, "loading": "lazy"})
        text("figcaption", caption)


def _files(model: str, own: ShownMap) -> None:
    with ui.element("span").classes("hub-row"):
        for end, key in own.files.items():
            ui.link(f"{own.name.rpartition('/')[2]}{end}", file_path(model, own.version, key))
        if not own.files:
            text("span", NONE)
