"""Numbers of the registry as JSON can have them."""

from __future__ import annotations

import math


def finite(value: object) -> float | None:
    """Return a number, and None for what JSON cannot hold or is not a number.

    Args:
        value: as the registry or a document has it; NaN and infinities may be text.
    """
    if isinstance(value, bool):
        return None
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
