"""Output of measurements as Markdown, ready for README.md.

Nothing is measured here.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence


def print_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a Markdown table."""
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)
    print(flush=True)


def median(values: Iterable[float]) -> float:
    """Return the median of what several rounds gave."""
    return statistics.median(values)
