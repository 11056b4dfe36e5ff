"""Differences of two JSON values, one line each, for people."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator

MAX_TEXT = 100  # characters of a value in a line


def json_changes(before: object, after: object, place: str = "") -> Iterator[str]:
    """Yield one line for each value that differs between two JSON values.

    Args:
        before: the older value; None if there was none.
        after: the newer value.
        place: where they are, such as `properties.mlm:input[0]`.
    """
    if before == after:
        return
    if isinstance(before, dict) and isinstance(after, dict):
        for name in dict.fromkeys([*before, *after]):
            dotted = f"{place}.{name}" if place else str(name)
            yield from json_changes(before.get(name), after.get(name), dotted)
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, pair in enumerate(zip(before, after, strict=True)):
            yield from json_changes(*pair, f"{place}[{index}]")
    elif isinstance(before, list) and isinstance(after, list):
        for entries, others, change in ((before, after, "removed"), (after, before, "added")):
            yield from (f"{place}: {change} {short_text(e)}" for e in entries if e not in others)
    elif place:
        yield f"{place}: {short_text(before)} → {short_text(after)}"
    else:
        yield "new document"


def short_text(value: object) -> str:
    """Return a value for a line about its change."""
    if value is None:
        return "not set"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return textwrap.shorten(text, MAX_TEXT, placeholder="…")
