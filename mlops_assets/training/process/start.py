"""The start of a worker.

It is forked from a preloaded process where that is safe, and started as a new one otherwise.

Watching it is the business of `supervisor`. This module is imported before the data is read, and so
imports little itself.
"""

from __future__ import annotations

import logging
import subprocess  # nosec B404
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from mlops_assets.errors import TrainerError
from mlops_assets.models.compute import Compute
from mlops_assets.models.frameworks import preloadable_modules
from mlops_assets.models.specification import ModelSpecification
from mlops_assets.settings import child_environment
from mlops_assets.training.process.child_process import start_child
from mlops_assets.training.process.forkserver import TRAINING, ForkedProcess, fork_server
from mlops_assets.training.trainers import load_trainer

# polls of a waiting thread of GNU's OpenMP, which PyTorch uses; its default is up to 300,000
SPINS = "1000"

log = logging.getLogger(__name__)


def preload(specification: ModelSpecification | None = None) -> None:
    """Start the process that the next trainer will be forked from, so that it loads meanwhile.

    Args:
        specification: the model; if it is unknown yet, the process is for the compute that a model
            has by default.
    """
    compute = specification.compute if specification else Compute()
    if _forks(compute):
        server = fork_server(environment_for(compute))
        if specification:
            server.load(_preloaded(specification))


def environment_for(compute: Compute, gpus: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment of a worker.

    OpenMP's threads spin only shortly while they wait for each other. On a busy machine, long
    spinning takes the processor from the threads that they wait for, and makes a small network ten
    times slower; on an idle one, threads that do not spin at all make it two times slower.

    Args:
        compute: of the model.
        gpus: devices that the worker may use; those of this process if there are none.
    """
    threads = max(1, int(compute.cpus / compute.worker_processes))
    defaults = {"OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment = child_environment(defaults, gpus)
    # otherwise the user has set it
    if "OMP_WAIT_POLICY" not in environment:
        environment.setdefault("GOMP_SPINCOUNT", SPINS)
    return environment


def _forks(compute: Compute) -> bool:
    """Return whether the trainer may be forked.

    GPUs and torchrun need processes that have loaded nothing.
    """
    return not compute.gpus and compute.worker_processes == 1


def _preloaded(specification: ModelSpecification) -> list[str]:
    try:
        return preloadable_modules(load_trainer(specification.trainer).framework)
    except TrainerError:
        # the trainer's own process reports it
        return []


@dataclass(frozen=True)
class Worker:
    """A process that carries out a request.

    Attributes:
        module: its `main` is called with the path of the request, and returns the exit code.
        request: file of the request.
        compute: what it may use.
        preloaded: modules that are imported before it is forked.
    """

    module: str
    request: Path
    compute: Compute
    preloaded: Sequence[str] = ()


def training_worker(request: Path, specification: ModelSpecification) -> Worker:
    """Return the worker that trains a model.

    Args:
        request: file of the request.
        specification: the model.
    """
    return Worker(TRAINING, request, specification.compute, _preloaded(specification))


def start_process(
    worker: Worker, environment: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes] | ForkedProcess:
    """Start a worker, in a session of its own; it ends when this process does."""
    compute = worker.compute
    if _forks(compute):
        try:
            server = fork_server(environment)
            server.load(worker.preloaded)
            return server.start(worker.request, output, environment, worker.module)
        except OSError as error:
            log.warning("%s is started without a preloaded process: %s", worker.module, error)
    arguments = ["-m", worker.module, str(worker.request)]
    if compute.worker_processes > 1:
        processes = f"--nproc-per-node={compute.worker_processes}"
        # by its name a machine may not find itself, and a pod of a restricted network neither
        here = ("--standalone", "--local-addr=127.0.0.1")
        arguments = ["-m", "torch.distributed.run", *here, processes, *arguments]
    return start_child(arguments, environment, output)
