"""Very many runs for the hub's table: 30,000 with 20 metrics, written in seconds.

`python -m benchmarks.hub_runs sqlite:////PATH/registry.db` fills a registry to look at.
"""

from __future__ import annotations

import sys
import time

from sqlalchemy import update

from benchmarks.run_listing import METRICS, RUNS, fill
from mlops_assets.registry import Registry, Run


def filled(url: str, runs: int = RUNS, metrics: int = METRICS) -> Registry:
    """Return a registry with finished runs, each with `macro_f1`, `metric_1`, … and 10 parameters.

    They are inserted past the log, so that `mlops verify` reports them. No run has an environment.

    Args:
        url: SQLAlchemy URL of the registry; it may have rows already.
        runs: number of runs.
        metrics: of each.
    """
    registry = Registry(url)
    fill(registry, runs, metrics)
    with registry._engine.begin() as connection:
        # the object that it names is in no workspace, so that pages would report it as missing
        connection.execute(update(Run).values(environment=None))
    return registry


def main() -> None:
    """Fill the registry that is named."""
    started = time.perf_counter()
    filled(sys.argv[1]).close()
    print(f"{RUNS:,} runs with {METRICS} metrics in {time.perf_counter() - started:.1f} s")


if __name__ == "__main__":
    main()
