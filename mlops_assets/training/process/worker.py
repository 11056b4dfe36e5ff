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
from types import FrameType
from typing import NoReturn

from pydantic import Field

from mlops_assets.errors import MlopsError
from mlops_assets.principals import Principal
from mlops_assets.settings import parent_registry
from mlops_assets.strict import Strict
from mlops_assets.training.request import TrainingRequest

OUTCOME, STARTED = "outcome.json", "started"  # beside the job


class WorkerInput(Strict):
    """The input of a worker: the training request, and what it needs to carry it out."""

    workspace: str
    cache: Path
    principal: Principal
    request: TrainingRequest
    import_path: list[str] = Field(default=[])


class Stopped(BaseException):
    """Whoever started this process wants it to end."""


def main(path: Path) -> int:
    """Carry out the training request of an input file; return the exit code."""
    from mlops_assets.registry import open_registry
    from mlops_assets.storage import Workspace
    from mlops_assets.store import Store
    from mlops_assets.training.train import follow, train

    given = WorkerInput.model_validate_json(path.read_bytes())
    others = [entry for entry in sys.path if entry not in given.import_path]
    sys.path[:] = [*given.import_path, *others]
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    processes = given.request.specification.compute.worker_processes
    rank = _join() if processes > 1 else 0
    if rank == 0:
        signal.signal(signal.SIGTERM, _stop)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    registry = open_registry(parent_registry()).acting(given.principal)
    store = Store(Workspace(given.workspace, given.cache), registry)
    (path.parent / STARTED).touch()
    try:
        if rank > 0:
            follow(store, given.request, rank, processes)
            return 0
        row = train(store, given.request, world_size=processes)
    except (MlopsError, Stopped) as error:
        if rank == 0:
            outcome = {"error": type(error).__name__, "message": str(error)}
            (path.parent / OUTCOME).write_text(json.dumps(outcome))
        return 1
    (path.parent / OUTCOME).write_text(json.dumps({"version": row.version}))
    return 0


def _join() -> int:
    """Join the processes that torchrun has started; return this one's rank."""
    import torch.distributed as distributed

    distributed.init_process_group()  # NCCL for tensors on GPUs, Gloo for others
    return int(distributed.get_rank())


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped("stopped from outside")


def _end_with_parent() -> None:
    """Stop when the process that started this one is gone: its end of the pipe is closed then."""
    if sys.stdin is not None:
        while os.read(sys.stdin.fileno(), 1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
