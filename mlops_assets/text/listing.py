"""Lists of names in messages, of bounded length."""

from __future__ import annotations

from collections.abc import Sequence


def named(names: Sequence[str], limit: int = 20) -> str:
    """Return the first names, and the number of the others.

    Args:
        names: in order.
        limit: maximum number of names in full.
    """
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
