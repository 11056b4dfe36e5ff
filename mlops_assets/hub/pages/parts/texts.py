"""Moments, sizes, numbers and checksums as text, and chips for states.

Text of users goes into elements by `text`, never into markup.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime

from nicegui.elements.mixins.text_element import TextElement

NONE = "–"
_UNITS = ("kB", "MB", "GB", "TB", "PB")
# names of states, as records and documents have them → how the chip looks
_STATES = {
    **dict.fromkeys(
        ("succeeded", "passed", "approved", "verified", "intact", "production", "SUCCESS"), "good"
    ),
    **dict.fromkeys(
        ("failed", "rejected", "broken", "damaged", "error", "alarm", "FAILURE"), "bad"
    ),
    **dict.fromkeys(
        ("cannot tell", "canceled", "interrupted", "deprecated", "waiting", "warning", "CANCELED"),
        "warn",
    ),
    **dict.fromkeys(("running", "busy", "queued", "STARTED", "QUEUED", "STARTING"), "busy"),
}


class Text(TextElement):
    """An element of HTML that contains text and nothing else."""

    def __init__(self, tag: str, content: str) -> None:
        super().__init__(tag=tag, text=content)


def text(tag: str, content: str, classes: str = "", title: str = "") -> Text:
    """Add an element that contains text, which is never read as markup.

    Args:
        tag: of HTML, such as `p`, `span`, `h3`, `code`.
        content: the text.
        classes: of CSS.
        title: shown when the pointer rests on it.
    """
    element = Text(tag, content)
    element.classes(classes)
    if title:
        element.props["title"] = title
    return element


def when(moment: datetime | None) -> str:
    """Return a moment as text, UTC: `2026-11-30 05:43 UTC`; a dash for None."""
    if moment is None:
        return NONE
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return f"{aware.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def size(count: float | None) -> str:
    """Return a number of bytes as text, by powers of 1000: `6.78 MB`; a dash for None."""
    if count is None:
        return NONE
    if count < 1000:
        return f"{count:.0f} B"
    power = min(int(math.log10(count) / 3), len(_UNITS))
    if float(f"{count / 1000**power:.3g}") >= 1000 and power < len(_UNITS):
        power += 1  # 999 999 B are 1.00 MB
    scaled = count / 1000**power
    digits = 2 - int(math.log10(scaled)) if scaled < 1000 else 0
    return f"{scaled:.{max(digits, 0)}f} {_UNITS[power - 1]}"


def number(value: float | None, digits: int = 4) -> str:
    """Return a number as text.

    Args:
        value: whole numbers get thousands separated, others `digits` significant digits; None and
            NaN, which are unknown, become a dash.
        digits: significant digits.
    """
    if value is None or math.isnan(value):
        return NONE
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{int(value):,}".replace("-", "−")
    return f"{value:.{digits}g}".replace("-", "−")


def share(value: float | None) -> str:
    """Return a share of 1 as per cent: `49.7 %`; a dash if it is unknown."""
    return NONE if value is None or math.isnan(value) else f"{value:.1%}".replace("%", " %")


def duration(seconds: float | None) -> str:
    """Return a duration as text: `25.6 s`, `3 min 05 s`, `2 h 04 min`; a dash for None."""
    if seconds is None or math.isnan(seconds):
        return NONE
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def checksum(sha256: str | None, length: int = 12) -> Text:
    """Add a checksum, shortened; its title is the whole one."""
    if not sha256:
        return text("span", NONE)
    short = sha256 if len(sha256) <= length else f"{sha256[:length]}…"
    return text("code", short, "hub-checksum", title=sha256)


def state(name: str, detail: str = "") -> Text:
    """Add a state as a chip, whose colour is never all that tells states apart.

    Args:
        name: of the state, such as `running`, `failed`, `passed`, `cannot tell`.
        detail: shown when the pointer rests on it.
    """
    look = _STATES.get(name, "plain")
    return text("span", name, f"hub-state hub-state-{look}", title=detail)
