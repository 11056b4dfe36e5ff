"""Parts of the pages of models: metrics with intervals, states, problems."""

from __future__ import annotations

from collections.abc import Callable

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


def problems(found: list[str]) -> None:
    """Show what cannot be read, above what can."""
    for line in found:
        with ui.element("div").classes("hub-problem").props("role=alert"):
            text("p", redacted(line))
