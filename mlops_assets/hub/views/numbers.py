"""Numbers of the registry as JSON can have them."""

from __future__ import annotations

import math


def finite(value: object) -> float | None:
    """Return a metric as a number; None if it is not finite, or the text that stands for that."""
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
