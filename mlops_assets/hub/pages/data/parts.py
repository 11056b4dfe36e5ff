"""Parts of the pages of training data: parts that are read later, states, differences."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from nicegui import ui

from mlops_assets.errors import MlopsError
from mlops_assets.hub.pages.frame import STATIC, problem
from mlops_assets.hub.pages.parts.texts import number, state, text
from mlops_assets.hub.views.data.checks import QualityState

T = TypeVar("T")

SPLITS = ("train", "validation", "test")


def style() -> None:
    """Add the style sheet of the pages of training data."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}/data.css">')


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
