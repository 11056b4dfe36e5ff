"""The values of bands or features of a data version: percentiles and histograms."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui

from mlops_assets.errors import NotFound
from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.parts.cards import card, empty, facts
from mlops_assets.hub.pages.parts.navigation import address
from mlops_assets.hub.pages.parts.texts import number, share, text
from mlops_assets.hub.views.data.quality import BandStatistics, BandsView, bands
from mlops_assets.names import Reference

# Okabe and Ito's colours for the colour-blind (https://jfly.uni-koeln.de/color/)
BLUE, ORANGE = "#0072b2", "#d55e00"
LINES = {"lineStyle": {"color": "rgba(128, 128, 128, 0.3)"}}  # seen on light and on dark
_PERCENTILES = ("1", "5", "25", "50", "75", "95", "99")


async def show_bands(path: str, reference: Reference) -> None:
    """Add the values of all bands, and the histogram of one.

    Args:
        path: of the page.
        reference: to the data version.
    """
    try:
        found = await read(bands, reference)
    except NotFound:
        with card("Values"):
            empty("It was not assessed.", f"mlops dataset assess {reference}")
        return
    if not found.bands:
        with card("Values"):
            text("p", "The report has no values of bands or features.")
        return
    wanted = ui.context.client.request.query_params.get("band", "")
    chosen = next((band for band in found.bands if band.name == wanted), found.bands[0])
    note = f"{number(found.samples)} samples of the {found.split} split."
    if len(found.bands) > 1:
        with card("Values of all bands", note):
            _overview(found)
    with card("Values of one band", note):
        names = [band.name for band in found.bands]
        field = ui.select(
            names,
            value=chosen.name,
            label="Band or feature",
            with_input=True,
            on_change=lambda event: ui.navigate.to(
                address(path, {"tab": "bands", "band": event.value})
            ),
        )
        field.props("outlined dense options-dense").classes("w-64")
        _histogram(chosen)
        _numbers(chosen)
    if found.total > len(found.bands):
        api = (
            f"/api/v1/datasets/{quote(reference.name)}/{quote(reference.what or '')}/quality/bands"
        )
        with card("More bands"):
            text("p", f"{found.total - len(found.bands):,} more bands are not shown here.")
            ui.link("All bands as JSON", f"{api}?first={len(found.bands) + 1}&limit=500")


def _overview(found: BandsView) -> None:
    """Add median and spread of every band: for images the spectrum of the data."""
    names = [band.name for band in found.bands]
    lines = (("95 %", "95", "dashed"), ("median", "50", "solid"), ("5 %", "5", "dashed"))
    options = {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "legend": {"data": [name for name, _, _ in lines], "top": 0, "right": 16},
        "grid": {"left": 64, "right": 16, "top": 32, "bottom": 32},
        "xAxis": {"type": "category", "data": names, "boundaryGap": False},
        "yAxis": {"type": "value", "scale": True, "name": "value", "splitLine": LINES},
        "series": [
            {
                "name": name,
                "type": "line",
                "showSymbol": len(names) < 30,
                "lineStyle": {"type": style, "width": 2 if percentile == "50" else 1},
                "color": BLUE if percentile == "50" else ORANGE,
                "data": [band.percentiles.get(percentile) for band in found.bands],
            }
            for name, percentile, style in lines
        ],
    }
    chart = ui.echart(options, renderer="svg").classes("hub-chart")
    chart.props.update(
        {"role": "img", "aria-label": f"Median, 5 and 95 per cent of {len(names)} bands"}
    )
    text("p", "The values of each band are listed below, one band at a time.", "hub-note")


def _histogram(band: BandStatistics) -> None:
    found = band.histogram
    if found is None or None in found.edges or len(found.edges) < 2:
        text("p", "It has no values that a histogram could show.")
        return
    low, high = (float(edge) for edge in found.edges[:: len(found.edges) - 1] if edge is not None)
    width = (high - low) / max(len(found.counts), 1)
    middles = [f"{low + (place + 0.5) * width:.4g}" for place in range(len(found.counts))]
    options = {
        "animation": False,
        "tooltip": {"trigger": "axis"},
        "grid": {"left": 64, "right": 16, "top": 32, "bottom": 32},
        "xAxis": {"type": "category", "data": middles},
        "yAxis": {"type": "value", "name": "values", "splitLine": LINES},
        "series": [
            {
                "name": band.name,
                "type": "bar",
                "barCategoryGap": "4%",
                "color": BLUE,
                "data": found.counts,
            }
        ],
    }
    chart = ui.echart(options, renderer="svg").classes("hub-chart")
    chart.props.update({"role": "img", "aria-label": f"Histogram of {band.name}"})


def _numbers(band: BandStatistics) -> None:
    shown = {f"{name} %": number(band.percentiles.get(name)) for name in _PERCENTILES}
    facts(
        {
            **shown,
            "Missing": share(band.missing),
            "Nodata or hidden": share(band.nodata),
            "Saturated": share(band.saturated),
        }
    )
