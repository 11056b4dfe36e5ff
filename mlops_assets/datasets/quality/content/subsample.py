"""A reproducible subsample of many items, which bounds time and memory.

The report states the size of each subsample.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

SEED = 0
Kind = TypeVar("Kind", bound=np.generic)


def draw(items: NDArray[Kind], most: int, seed: int = SEED) -> NDArray[Kind]:
    """Return at most so many of the items, in their order.

    They are drawn without replacement, alike on every machine.
    """
    if len(items) <= most:
        return items
    return items[np.sort(np.random.default_rng(seed).choice(len(items), most, replace=False))]
