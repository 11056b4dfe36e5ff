"""The process in which a trainer runs.

It is started by `python -m mlops_assets.training.process.worker JOB`, or under torchrun.

`supervisor` starts it, and reads what it leaves: the outcome beside the job.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, Literal, NoReturn

from pydantic import Field

from mlops_assets.errors import MlopsError
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.principals import Principal
from mlops_assets.settings import parent_registry
from mlops_assets.strict import Strict

OUTCOME, STARTED = "outcome.json", "started"  # beside the job


class Pruning(Strict):
    """The sweep that a run is a trial of, and how it is told that it may stop early."""

    sweep: str
    trial: int
    metric: str
    direction: Literal["minimize", "maximize"]
    name: Literal["median", "hyperband"]


class Job(Strict):
    """The job of a worker."""

    workspace: str
    cache: Path
    principal: Principal
    specification: ModelSpecification
    data_version: str
    parameters: dict[str, Any]
    seed: int
    run_id: str
    orchestration_run: str | None = None
    tags: dict[str, str] = Field(default={})
    pruning: Pruning | None = None
    processes: int = Field(default=1, ge=1)
    import_path: list[str] = Field(default=[])


class Stopped(BaseException):
    """Whoever started this process wants it to end."""


def main(path: Path) -> int:
    """Do a job; return the exit code."""
    from mlops_assets.registry import open_registry
    from mlops_assets.storage import Workspace
    from mlops_assets.store import Store
    from mlops_assets.training.train import follow, train

    job = Job.model_validate_json(path.read_bytes())
    sys.path[:] = [*job.import_path, *(entry for entry in sys.path if entry not in job.import_path)]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    rank = _join(job.processes) if job.processes > 1 else 0
    if rank == 0:
        signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    store = Store(
        Workspace(job.workspace, job.cache), open_registry(parent_registry()).acting(job.principal)
    )
    (path.parent / STARTED).touch()
    try:
        if rank > 0:
            ranks = rank, job.processes
            arguments = job.specification, job.data_version, job.parameters, job.seed, job.run_id
            follow(store, *arguments, ranks)
            return 0
        row = train(
            store,
            job.specification,
            job.data_version,
            job.parameters,
            job.seed,
            job.orchestration_run,
            run_id=job.run_id,
            tags=job.tags,
            watchers=_watchers(job),
            world_size=job.processes,
        )
    except (MlopsError, Stopped) as error:
        if rank == 0:
            outcome = {"error": type(error).__name__, "message": str(error)}
            (path.parent / OUTCOME).write_text(json.dumps(outcome))
        return 1
    (path.parent / OUTCOME).write_text(json.dumps({"version": row.version}))
    return 0


def _watchers(job: Job) -> tuple[Any, ...]:
    if job.pruning is None:
        return ()
    from mlops_assets.registry import open_registry
    from mlops_assets.training.sweeps.pruning import pruner

    return (
        pruner(
            open_registry(parent_registry()), job.specification.name, **job.pruning.model_dump()
        ),
    )


def _join(processes: int) -> int:
    """Join the processes that torchrun has started; return this one's rank."""
    import torch.distributed as distributed

    distributed.init_process_group()  # NCCL for tensors on GPUs, Gloo for others
    return int(distributed.get_rank())


def _stop(number: int, frame: Any) -> NoReturn:
    raise Stopped("stopped from outside")


def _end_with_parent() -> None:
    """Stop when the process that started this one is gone: its end of the pipe is closed then."""
    if sys.stdin is not None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
