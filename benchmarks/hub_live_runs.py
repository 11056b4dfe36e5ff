"""Runs that log while the hub is measured: `python -m benchmarks.hub_live_runs RUN_ID …`."""

from __future__ import annotations

import math
import sys
import time

from mlops_assets.settings import Settings
from mlops_assets.store import open_store

METRICS = 4
SECONDS = 0.5  # between steps


def main() -> None:
    """Log until this process is terminated."""
    registry = open_store(Settings.from_environment()).registry
    step = 0
    while True:
        for run_id in sys.argv[1:]:
            points = [
                (
                    step * METRICS + number,
                    f"metric_{number}",
                    step,
                    math.exp(-step / 100),
                    time.time(),
                )
                for number in range(METRICS)
            ]
            registry.log(run_id, points)
        step += 1
        time.sleep(SECONDS)


if __name__ == "__main__":
    main()
