"""The map of footprints: land, outlines and samples, with legends below it.

Samples are fetched and drawn by `static/footprints.js`, so that no page holds them; tiles of
another host are shown only if a setting names one.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from nicegui import ui

from mlops_assets.hub.pages.frame import STATIC
from mlops_assets.hub.pages.parts.cards import empty
from mlops_assets.hub.pages.parts.texts import number, text
from mlops_assets.hub.tiles import declared_tiles
from mlops_assets.hub.views.footprints import PLAIN, By, Category, FootprintView

_LEGENDS: dict[By, str] = {"split": "Split", "class": "Class"}
_MAP_OPTIONS = {"preferCanvas": True, "maxZoom": 19, "minZoom": 1, "zoomSnap": 0.5}


def footprints(view: FootprintView, samples: str = "", by: By = "split") -> None:
    """Add a map with its legends, or why there is none.

    Args:
        view: what it shows.
        samples: path of the page with the samples, which links of samples lead to.
        by: what colours samples at first.
    """
    if view.extent is None:
        empty(view.note or "Nothing here has a place.")
        return
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}/footprints.css">')
    with ui.element("div").props("data-footprints").classes("hub-footprints"):
        legends: dict[By, list[Category]] = {"split": view.splits, "class": view.classes}
        known = {name: entries for name, entries in legends.items() if entries and view.source}
        by = by if by in known else next(iter(known), by)
        group = _map(view, samples, by)
        if len(known) > 1:
            _switch(list(known), by, group)
        for name, entries in known.items():
            _legend(name, entries, group, hidden=name != by)
    if view.note:
        text("p", view.note, "hub-note")
    text("p", f"Extent: {extent_text(view)}", "hub-note")


def extent_text(view: FootprintView) -> str:
    """Return the extent of a map as text, such as `40.2° N … 40.7° N, 87.3° W … 86.6° W`."""
    if view.extent is None:
        return "unknown"
    west, south, east, north = view.extent
    crossing = " across the antimeridian" if west > east else ""
    return (
        f"{_degrees(south, 'N', 'S')} … {_degrees(north, 'N', 'S')},"
        f" {_degrees(west, 'E', 'W')} … {_degrees(east, 'E', 'W')}{crossing}"
    )


def _degrees(value: float, plus: str, minus: str) -> str:
    return f"{abs(value):.5g}° {plus if value >= 0 else minus}"


def _map(view: FootprintView, samples: str, by: By) -> str:
    """Add the map, and below it a line with what is in view; return the id of that line."""
    tiles = declared_tiles()
    frame = ui.leaflet(
        options=_MAP_OPTIONS, additional_resources=[f"{STATIC}/footprints.js"]
    ).classes("hub-map")
    frame.clear_layers()  # by default it has the tiles of a host
    frame.props.update({"role": "region", "aria-label": view.title})
    with ui.element("div").classes("hub-map-bar"):
        status = text("span", f"{number(view.placed)} samples with a place" if view.source else "")
        status.classes("hub-note").props["aria-live"] = "polite"
        with ui.element("button").classes("hub-button").props("type=button data-fit"):
            text("span", "Show all")
    options = {
        "land": f"{STATIC}/land.json",
        "source": view.source,
        "samples": samples,
        "extent": view.extent,
        "outlines": [
            {
                "name": outline.name,
                "box": outline.box,
                "link": outline.link,
                "approximate": outline.approximate,
            }
            for outline in view.outlines
        ],
        "colours": {
            "split": {entry.name: entry.colour for entry in view.splits} or {"": PLAIN},
            "class": {entry.name: entry.colour for entry in view.classes} or {"": PLAIN},
        },
        "by": by,
        "note": status.html_id,
        "tiles": tiles.template if tiles else "",
        "attribution": escape(tiles.attribution) if tiles else "",
    }
    frame.generic_layer(name="hubFootprints", args=[options])
    return status.html_id


def _switch(known: Sequence[By], by: By, group: str) -> None:
    with ui.element("fieldset").classes("hub-legend"):
        text("legend", "Colour by")
        for name in known:
            _radio(_LEGENDS[name], f"by-{group}", {"data-by": name}, name == by)


def _legend(name: By, entries: Sequence[Category], group: str, hidden: bool) -> None:
    """Add a legend whose entries show one category alone, for those who cannot tell colours."""
    with ui.element("fieldset").classes("hub-legend") as legend:
        legend.props["data-legend"] = name
        if hidden:
            legend.props["hidden"] = True
        text("legend", f"{_LEGENDS[name]}: show")
        only = f"{name}-{group}"
        _radio("all", only, {"data-only": ""}, checked=True)
        for entry in entries:
            label = entry.name.replace("_", " ") if name == "split" else entry.name
            shown = f"{label} ({number(entry.samples)})"
            _radio(shown, only, {"data-only": entry.name}, False, entry.colour)


def _radio(
    label: str, group: str, data: dict[str, str], checked: bool, colour: str | None = None
) -> None:
    with ui.element("label").classes("hub-legend-entry"):
        box = ui.element("input").props("type=radio")
        box.props.update({"name": group, "checked": checked, **data})
        if colour is not None:
            ui.element("span").classes("hub-swatch").style(f"background: {colour}")
        text("span", label)
