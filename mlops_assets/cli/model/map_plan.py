"""Cost of a map, printed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlops_assets.cli.terminal.output import advise, console

if TYPE_CHECKING:
    from mlops_assets.prediction.plan import Plan


def print_plan(name: str, cost: Plan) -> None:
    """Print the cost of a map.

    Args:
        name: of the map.
        cost: as it was measured.
    """
    size = "size unknown" if cost.bytes is None else f"{cost.bytes / 1e6:,.0f} MB"
    console.print(
        f"{name}: {cost.scenes} {'scene' if cost.scenes == 1 else 'scenes'},"
        f" {cost.pixels:,} pixels, {size}; {cost.seconds / 60:.1f} minutes,"
        f" {cost.memory / 2**30:.1f} GiB of memory"
    )
    for reason in cost.broken:
        advise(f"skipped {reason}")
