"""Starting the process of a job of `worker`: forked from a preloaded one where that is safe, else anew.

Watching it is the business of `supervision`. This is imported before the data is read, and imports little itself.
"""

from __future__ import annotations

import logging
import subprocess  # nosec B404
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import psutil

from mlops_assets.errors import TrainerError
from mlops_assets.settings import child_environment
from mlops_assets.training.forkserver import ForkedProcess, fork_server
from mlops_assets.training.frameworks import preloadable_modules
from mlops_assets.training.specification import Compute, ModelSpecification
from mlops_assets.training.trainers import load_trainer

BUSY_SECONDS = 0.2  # for which the load of the machine is measured
OMP_WAIT_POLICY = "OMP_WAIT_POLICY"

log = logging.getLogger(__name__)
# what was decided for a process that is loading: that makes the machine busy, and must not change the decision
_next_waiting: list[dict[str, str]] = []


def preload(specification: ModelSpecification) -> None:
    """Start the process that this model's next trainer is going to be forked from, so that it loads meanwhile."""
    if _forks(specification.compute):
        environment = environment_for(specification.compute)
        fork_server(environment, _preloaded(specification))
        _next_waiting.append({name: environment[name] for name in (OMP_WAIT_POLICY,) if name in environment})


def environment_for(compute: Compute, gpus: Sequence[str] = ()) -> dict[str, str]:
    """Return the environment of the next process of a job, which may use these GPUs."""
    threads = max(1, int(compute.cpus / compute.worker_processes))
    policy = _next_waiting.pop() if _next_waiting else waiting(compute.cpus)
    return child_environment({"OMP_NUM_THREADS": str(threads), "TF_CPP_MIN_LOG_LEVEL": "3", **policy}, gpus)


def _forks(compute: Compute) -> bool:
    """Say whether the trainer may be forked: GPUs and torchrun want processes that have loaded nothing."""
    return not compute.gpus and compute.worker_processes == 1


def _preloaded(specification: ModelSpecification) -> list[str]:
    try:
        return preloadable_modules(load_trainer(specification.trainer).framework)
    except TrainerError:  # the trainer's own process reports it
        return []


def start_process(
    job: Path, specification: ModelSpecification, environment: dict[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes] | ForkedProcess:
    """Start the process of a job, in a session of its own; it ends when this one does."""
    compute = specification.compute
    if _forks(compute):
        try:
            return fork_server(environment, _preloaded(specification)).start(job, output, environment)
        except OSError as error:
            log.warning("the trainer is started without a preloaded process: %s", error)
    command = [sys.executable, "-m", "mlops_assets.training.worker", str(job)]
    if compute.worker_processes > 1:
        many = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={compute.worker_processes}"]
        command[1:1] = many
    return subprocess.Popen(  # nosec B603
        command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT, env=environment, start_new_session=True
    )


def waiting(cpus: float) -> dict[str, str]:
    """Return how OpenMP's threads should wait for each other: as they do by themselves, or without spinning.

    Spinning is a third faster for small networks where there are processors for all threads. Where others are at work,
    threads that spin keep those out that they wait for: on two busy cores 77 seconds became 3.
    """
    cores = psutil.cpu_count() or 1
    busy = psutil.cpu_percent(BUSY_SECONDS) / 100 * cores
    return {OMP_WAIT_POLICY: "PASSIVE"} if busy + cpus > cores + 0.5 else {}
