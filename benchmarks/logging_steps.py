"""Our steps that `benchmarks.logging` measures.

They are run by `python -m benchmarks.logging_steps REGISTRY POINTS`.
"""

from __future__ import annotations

import sys
import tempfile
import uuid
from pathlib import Path

from benchmarks.measured import Steps
from benchmarks.mlflow_steps import NAMES
from mlops_assets.registry import Run, open_registry
from mlops_assets.registry.store import now
from mlops_assets.storage import Workspace
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets.training.metric_writer import PointWriter
from mlops_assets.training.run import TrainingRun


def log(url: str, points: int, folder: Path) -> Steps:
    """Log through a training run as a trainer does, four metrics a step, and await all writes."""
    registry = open_registry(url)
    run_id = str(uuid.uuid4())
    registry.start_run(
        Run(
            run_id=run_id,
            model="logging",
            dataset="none",
            data_version="v1",
            data_digest="0" * 64,
            status="running",
            parameters={},
            seed=0,
            trainer="none",
            code_version="none",
            hardware={},
            metrics={},
            started=now(),
            host="here",
            pid=0,
        )
    )
    checkpoints = Checkpoints(Workspace(folder.as_uri()), registry, run_id, folder, resumed=False)
    steps = Steps()
    with steps.step("log"):
        writer = PointWriter(registry, run_id)
        run = TrainingRun(run_id, 0, folder, writer, checkpoints)
        for step in range(points // len(NAMES)):
            run.log(dict.fromkeys(NAMES, 1.0 / (step + 1)), step=step)
        writer.close()
    written = sum(map(len, registry.series(run_id).values()))
    if written != points:
        raise RuntimeError(f"{written} of {points} points are there")
    return steps


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="mlops-logging-") as scratch:
        log(sys.argv[1], int(sys.argv[2]), Path(scratch)).report()
