"""Days of the request log for labels to be of."""

from __future__ import annotations

from typing import Any

import numpy as np

from mlops_assets.serving.request_log.client import write_exchanges
from mlops_assets.serving.request_log.compact import compact_day
from mlops_assets.store import Store
from mlops_assets_tests.serving.request_log.served import (
    DAY,
    MORNING,
    exchange,
    patches,
    publish,
    served,
)

NEXT_DAY = "2026-11-03"
DAY_SECONDS = 86_400


def logged(store: Store, days_later: int = 0, version: str = "v1-1", /, **samples: int) -> None:
    """Log requests of a day, id → number of samples; of another version, its own signature."""
    known = served(store, version)
    started = MORNING + days_later * DAY_SECONDS
    exchanges = []
    for number, (request, count) in enumerate(samples.items()):
        outputs: dict[str, Any] = {}
        if known.signature.classes is None:
            outputs = {"value": np.arange(count, dtype=np.float32)}
        X = patches(count, number)
        exchanges.append(exchange(known, request, X, started + number, **outputs))
    write_exchanges(store, exchanges, "tester")
    compact_day(store, "crops", NEXT_DAY if days_later else DAY)


def published_and_logged(store: Store, **changes: Any) -> None:
    """One model version, with requests of one sample, `a` to `e`, and one of three, `many`."""
    publish(store, **changes)
    logged(store, **dict.fromkeys("abcde", 1), many=3)
