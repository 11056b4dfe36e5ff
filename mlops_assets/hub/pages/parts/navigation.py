"""Links within pages: tabs, pages of tables, addresses with a query."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlencode

from nicegui import ui

from mlops_assets.hub.pages.parts.texts import text


def address(path: str, parts: Mapping[str, object]) -> str:
    """Return a path with a query, without the parts that are None or empty."""
    given = {name: value for name, value in parts.items() if value not in (None, "")}
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


def pager(path: str, parts: Mapping[str, object], page: int, rows: int, total: int) -> None:
    """Add links to the pages before and after one.

    Args:
        path: of the page.
        parts: of its query, but `page`.
        page: number of the page, from 1.
        rows: of a page at most.
        total: number of all rows.
    """
    last = max(1, -(-total // rows))
    if last == 1 and page == 1:
        return
    with ui.element("nav").classes("hub-row") as nav:
        nav.props["aria-label"] = "Pages"
        if page > 1:
            ui.link("Previous", address(path, {**parts, "page": min(page - 1, last)}))
        text("span", f"Page {page:,} of {last:,}, {total:,} in all", "hub-note")
        if page < last:
            ui.link("Next", address(path, {**parts, "page": page + 1}))


def whole(value: str | None, least: int = 1) -> int:
    """Return a number of an address, the least one where it is none or less."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 9:
        return least
    return max(least, int(value))
