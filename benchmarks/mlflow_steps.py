"""MLflow's steps that `benchmarks.logging` measures, in its environment.

They are run by `python -m benchmarks.mlflow_steps URI POINTS`.

`mlflow` is imported only by the peer's process; `NAMES` are for both sides.
"""

from __future__ import annotations

import sys
import time

from benchmarks.measured import Steps

NAMES = ("loss", "accuracy", "learning_rate", "gradient_norm")
AT_ONCE = 1000  # metrics that MLflow takes in a call


def log(uri: str, points: int) -> Steps:
    """Log four metrics a step, in batches of the size that MLflow takes."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment(f"logging-{time.time_ns()}")).info.run_id
    steps = Steps()
    with steps.step("log"):
        waiting: list[Metric] = []
        for step in range(points // len(NAMES)):
            at = time.time_ns() // 1_000_000
            waiting += [Metric(name, 1.0 / (step + 1), at, step) for name in NAMES]
            if len(waiting) >= AT_ONCE:
                client.log_batch(run, metrics=waiting)
                waiting = []
        if waiting:
            client.log_batch(run, metrics=waiting)
    written = len(client.get_metric_history(run, NAMES[0]))
    if written != points // len(NAMES):
        raise RuntimeError(f"{written} of {points // len(NAMES)} points of a metric are there")
    return steps


if __name__ == "__main__":
    log(sys.argv[1], int(sys.argv[2])).report()
