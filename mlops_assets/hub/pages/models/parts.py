"""Parts of the pages of models: tabs, metrics with intervals, pages of tables, buttons."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlencode

from nicegui import ui

from mlops_assets.hub.pages.frame import STATIC
from mlops_assets.hub.pages.parts.texts import NONE, number, state, text
from mlops_assets.hub.views.models.measures import Measure
from mlops_assets.hub.views.models.monitoring import MonitoredNumber
from mlops_assets.text.secret_urls import redacted

_MAX_DECIMALS = 1000  # larger values have no need of four


def style() -> None:
    """Add the style sheet of the pages of models."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}/models.css">')


def address(path: str, parts: Mapping[str, object]) -> str:
    """Return a path with a query, without the parts that are None."""
    given = {name: value for name, value in parts.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def tabs(path: str, labels: Mapping[str, str], current: str) -> None:
    """Add tabs that are links, so that each has an address.

    Args:
        path: of the page.
        labels: name of a tab in the address → its label; the first is that of the page alone.
        current: name of the tab that is shown.
    """
    first = next(iter(labels))
    with ui.element("nav").classes("hub-tabbar") as nav:
        nav.props["aria-label"] = "Parts of this page"
        for name, label in labels.items():
            link = ui.link(label, address(path, {"tab": None if name == first else name}))
            if name == current:
                link.props["aria-current"] = "page"


def chosen_tab(labels: Mapping[str, str], tab: str) -> str:
    """Return the tab that an address names; the first one if it names none that there is."""
    return tab if tab in labels else next(iter(labels))


def measure_text(own: Measure | MonitoredNumber | None) -> str:
    """Return a metric with its interval: `0.8802 (0.8328 to 0.9205)`; a dash if it is unknown."""
    if own is None or own.value is None:
        return NONE
    ends = "" if own.lower is None or own.upper is None else _ends(own.lower, own.upper)
    return f"{metric_text(own.value)}{ends}"


def metric_text(value: float | None) -> str:
    """Return the value of a metric with four decimals, as the commands have it."""
    if value is None or abs(value) >= _MAX_DECIMALS:
        return number(value)
    return f"{value:.4f}".replace("-", "−")


def _ends(lower: float, upper: float) -> str:
    return f" ({metric_text(lower)} to {metric_text(upper)})"


def pager(path: str, parts: Mapping[str, object], page: int, size: int, total: int) -> None:
    """Add links to the pages before and after one.

    Args:
        path: of the page.
        parts: of its query, but `page`.
        page: number of the page, from 1.
        size: rows of a page at most.
        total: number of all rows.
    """
    last = max(1, -(-total // size))
    if last == 1:
        return
    with ui.element("nav").classes("hub-row") as nav:
        nav.props["aria-label"] = "Pages"
        if page > 1:
            ui.link("Previous", address(path, {**parts, "page": page - 1}))
        text("span", f"Page {page:,} of {last:,}, {total:,} in all", "hub-note")
        if page < last:
            ui.link("Next", address(path, {**parts, "page": page + 1}))


def states(*names: str | None) -> Callable[[], None]:
    """Return a function that adds states as chips; a dash if there are none."""

    def add() -> None:
        shown = [name for name in names if name]
        with ui.element("span").classes("hub-row"):
            for name in shown:
                state(name)
            if not shown:
                text("span", NONE)

    return add


def button(
    label: str, act: Callable[[], Awaitable[object]], refused: str | None = None
) -> ui.element:
    """Add a button; one that its user may not use is disabled, and states why.

    Args:
        label: of the button.
        act: is called when it is pressed.
        refused: why its user may not; None if they may.
    """
    element = ui.element("button").classes("hub-button")
    element.props["type"] = "button"
    with element:
        text("span", label)
    if refused is None:
        element.on("click", act)
    else:
        element.props["disabled"] = True
        element.props["title"] = refused
    return element


def problems(found: list[str]) -> None:
    """Show what cannot be read, above what can."""
    for line in found:
        with ui.element("div").classes("hub-problem").props("role=alert"):
            text("p", redacted(line))
