"""The process in which a trainer runs.

It is started by `python -m mlops_assets.training.process.worker REQUEST`, or under torchrun.

`supervisor` starts it, and reads the outcome that it leaves beside the request.
"""

from __future__ import annotations

import logging
import signal
import sys
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import NoReturn

from mlops_assets.errors import MlopsError
from mlops_assets.logs import add_log_fields, configure_logs
from mlops_assets.settings import log_format
from mlops_assets.training.process.child_process import (
    ChildOutcome,
    ChildRequest,
    read_request,
    signal_without_parent,
    write_outcome,
)
from mlops_assets.training.request import TrainingRequest

# file beside the request: the worker has begun
STARTED = "started"


class WorkerRequest(ChildRequest):
    """The request to a worker."""

    training: TrainingRequest


class Stopped(BaseException):
    """A request of the parent process to stop."""


def main(path: Path) -> int:
    """Carry out the training request of a file; return the exit code."""
    from mlops_assets.training.train import train, train_rank

    request = read_request(path, WorkerRequest)
    log_to_output()
    training = request.training
    add_log_fields(
        run=training.run_id,
        model=training.specification.name,
        data_version=training.data_version,
        orchestration_run=training.orchestration_run,
    )
    processes = request.training.specification.compute.worker_processes
    rank = _join() if processes > 1 else 0
    stop_with_parent(reported=rank == 0)
    store = request.open_store()
    (path.parent / STARTED).touch()
    try:
        if rank > 0:
            train_rank(store, request.training, rank, processes)
            return 0
        row = train(store, request.training, world_size=processes)
    except (MlopsError, Stopped) as error:
        if rank == 0:
            write_outcome(path, ChildOutcome(error=type(error).__name__, message=str(error)))
        return 1
    write_outcome(path, ChildOutcome(result=row.version))
    return 0


def log_to_output() -> None:
    """Print what is logged, with its time, and let each line that is printed out at once."""
    logging.basicConfig(
        level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    configure_logs(log_format())
    # otherwise what it prints is passed on at its end only, as it goes to a file
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)


def stop_with_parent(reported: bool = True) -> None:
    """Stop this process when its parent asks for it, or is gone.

    Args:
        reported: it raises `Stopped`, so that the end can be reported; else the process just ends.
    """
    if reported:
        signal.signal(signal.SIGTERM, _stop)
    signal_without_parent(signal.SIGTERM)


def _join() -> int:
    """Join the processes that torchrun has started; return this one's rank."""
    import torch.distributed as distributed

    # NCCL for tensors on GPUs, Gloo for others
    distributed.init_process_group()
    return int(distributed.get_rank())


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise Stopped("stopped from outside")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
