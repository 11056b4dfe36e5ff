"""Formats of values in reports and listings."""

from __future__ import annotations

import json

# the data version that metrics are of
MEASURED_ON = "test split of"
# classes without a metric
NOT_MEASURED = "not in the test split"
# characters of a value
MAX_LENGTH = 80
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


def number(value: float) -> str:
    """Return a number with four significant digits, integers whole."""
    if isinstance(value, int):
        return f"{value:.0f}"
    if abs(value) < 1e15 and value == int(value):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:g}"
    return f"{value:.4g}"


def size(count: float) -> str:
    """Return bytes in the unit that suits them."""
    for unit in _BYTES[:-1]:
        if abs(count) < 1024:
            return f"{count:.4g} {unit}"
        count /= 1024
    return f"{count:.4g} {_BYTES[-1]}"


def duration(seconds: float) -> str:
    """Return seconds in readable units: `0.35 s`, `2 min 5 s`, `3 h 12 min`."""
    if seconds < 60:
        return f"{seconds:.3g} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def energy(joules: float) -> str:
    """Return joules, and watt-hours where there are some."""
    return f"{joules:.4g} J" if joules < 3600 else f"{joules / 3600:.4g} Wh"


def delta(value: float) -> str:
    """Return a difference with its sign and an arrow: `▲ +0.0123`."""
    if value == 0:
        return "="
    return f"{'▲' if value > 0 else '▼'} {value:+.4g}"


def interval(ends: tuple[float, float] | None) -> str:
    """Return a confidence interval after its value: ` [0.71, 0.84]`; nothing if there is none."""
    return "" if ends is None else f" [{number(ends[0])}, {number(ends[1])}]"


def quantity(name: str, value: object) -> str:
    """Return a value in the unit that its name has, such as `peak_memory_bytes`.

    Of an error, return the last line.
    """
    if name == "error" and isinstance(value, str) and value.strip():
        return plain(value.strip().splitlines()[-1])
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if name.endswith("_bytes"):
            return size(value)
        if name == "seconds" or name.endswith("_seconds"):
            return duration(value)
        if name.endswith("_joules"):
            return energy(value)
        if name.endswith("_utilization"):
            return f"{value:.0%}"
    return plain(value)


def plain(value: object, length: int = MAX_LENGTH) -> str:
    """Return any recorded value on one line, shortened."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return number(value)
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"
