"""Parts of the pages of training data: tabs, pages of tables, parts that are read later."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeVar
from urllib.parse import urlencode

from nicegui import ui

from mlops_assets.errors import MlopsError
from mlops_assets.hub.pages.caller import principal
from mlops_assets.hub.pages.frame import STATIC, problem
from mlops_assets.hub.pages.parts.texts import number, state, text
from mlops_assets.hub.views.data.checks import QualityState
from mlops_assets.principals import Role

T = TypeVar("T")

SPLITS = ("train", "validation", "test")


def style() -> None:
    """Add the style sheet of the pages of training data."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}/data.css">')


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


def refusal(role: Role, action: str) -> str | None:
    """Return why the user may not do something; None if they may.

    Args:
        role: that it needs.
        action: such as "tag data".
    """
    user = principal()
    if role in user.roles:
        return None
    return f"{user.name} may not {action}: this needs the role {role}"


def later(
    reading: Callable[[], Awaitable[T]], show: Callable[[T], object], waiting: str
) -> ui.element:
    """Add a part of a page that is read once the page is shown.

    Args:
        reading: reads what is shown.
        show: adds it.
        waiting: shown until then.
    """
    body = ui.element("div").classes("hub-later")
    with body:
        text("p", waiting, "hub-note").props("role=status")

    async def fill() -> None:
        try:
            found = await reading()
        except MlopsError as error:
            body.clear()
            with body:
                problem(str(error))
            return
        body.clear()
        with body:
            show(found)

    ui.timer(0.05, fill, once=True)
    return body


def whole(value: str | None, least: int = 1) -> int:
    """Return a number of an address, the least one where it is none or less."""
    if value is None or not value.isascii() or not value.isdigit() or len(value) > 9:
        return least
    return max(least, int(value))


def quality_chip(found: QualityState) -> None:
    """Add the state of the checks of a data version, with their numbers."""
    parts = {
        "block training": found.blocking,
        "warn": found.warnings,
        "cannot tell": found.unknown,
        "passed": found.passed,
    }
    state(found.state, ", ".join(f"{count} {name}" for name, count in parts.items() if count))


def signed(value: int | None) -> str:
    """Return a difference with its sign; nothing for None."""
    if value is None:
        return ""
    return f"+{number(value)}" if value > 0 else number(value)
