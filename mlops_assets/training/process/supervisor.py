"""The supervision of a trainer in a process of its own.

The process has limits, and is stopped together with every process that it has started. So a trainer
that leaks memory, hangs or crashes affects nothing else, and its GPUs are free afterwards.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from typing import IO

import psutil

from mlops_assets.errors import StorageError, TrainerError, named_error
from mlops_assets.models.compute import Compute, bytes_of
from mlops_assets.models.run_documents import end_run
from mlops_assets.names import Reference
from mlops_assets.paths import Owner, run_log_key, run_owner
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.patience import patiently
from mlops_assets.settings import declared_gpus, parent_settings
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.training.process.child_process import (
    Child,
    ChildOutcome,
    family,
    read_outcome,
    wait_for,
    write_request,
)
from mlops_assets.training.process.gpu_leases import leased
from mlops_assets.training.process.output import OutputRelay
from mlops_assets.training.process.start import (
    Worker,
    environment_for,
    start_process,
    training_worker,
)
from mlops_assets.training.process.worker import STARTED, Stopped, WorkerRequest
from mlops_assets.training.request import TrainingRequest

MEMORY_POLL_SECONDS = 1.0
# of a run's output that are kept, and that wait to be passed on: its end
LOG_BYTES = 10 << 20

log = logging.getLogger(__name__)


def train_supervised(
    store: Store, request: TrainingRequest, *, stop: Event | None = None
) -> ModelVersion:
    """Train as `training.train.train` does, in a process of its own, within the model's compute.

    It may be called in any thread.

    Args:
        store: the project's storage.
        request: what to train.
        stop: ends the training once it is set.

    Returns:
        The published model version, at stage `trained`.

    Raises:
        Stopped: `stop` was set meanwhile.
        TrainerError: besides what `train` raises: a limit is exceeded, the process was killed, or
            the machine has fewer GPUs.
    """
    store.registry.principal.require(Role.SCIENTIST, "start run")
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("job"))
        worker_request = WorkerRequest(
            workspace=store.workspace.url,
            cache=store.workspace.cache,
            registry=store.registry.url,
            principal=store.registry.principal,
            training=request,
            import_path=[str(Path(entry).resolve()) for entry in sys.path],
        )
        path = write_request(folder, worker_request)
        output = stack.enter_context((folder / "log.txt").open("w+b"))
        try:
            worker = training_worker(path, request.specification)
            reason = run_worker(worker, store.registry.url, output, stop)
        except BaseException:
            _close(store, request.run_id, "canceled", "stopped from outside")
            raise
        finally:
            run_id = request.run_id
            key, owner = run_log_key(run_id), run_owner(run_id)
            keep_log(store, f"run {run_id}", key, owner, end_of(output))
        return _published(store, request, read_outcome(path) or ChildOutcome(), reason)


def run_worker(
    worker: Worker, registry: str, output: IO[bytes], stop: Event | None = None
) -> str | None:
    """Run a worker within its compute until it exits, and pass on what it prints.

    Args:
        worker: the process to be started.
        registry: URL of the registry that it works on.
        output: file of what it prints.
        stop: ends it once it is set.

    Returns:
        Why it was stopped or killed; None if it exited by itself.

    Raises:
        Stopped: `stop` was set meanwhile.
        TrainerError: the machine has fewer GPUs.
    """
    compute = worker.compute
    machine = _gpus() if compute.gpus else []
    with ExitStack() as stack:
        gpus = stack.enter_context(leased(compute.gpus, machine)) if machine else []
        environment = environment_for(compute, gpus) | parent_settings(registry)
        child = start_process(worker, environment, output)
        limits = _Limits(child.pid, compute, worker.request.parent / STARTED, stop)
        return _watch(child, limits, output)


def _gpus() -> list[str]:
    """Return the GPUs of this machine.

    What asks for some runs on the CPU where there is none.
    """
    declared = declared_gpus()
    if declared is None:
        import torch

        declared = [str(index) for index in range(torch.cuda.device_count())]
    if not declared:
        log.warning("compute.gpus is set, and this machine has no GPU: the CPU is used")
    return declared


class _Limits:
    """The limits of a worker, as it reaches them."""

    def __init__(self, pid: int, compute: Compute, mark: Path, stop: Event | None) -> None:
        """Start watching; the time of the worker counts from when the file `mark` is there."""
        self._pid = pid
        self._compute = compute
        self._mark = mark
        self._stop = stop
        self._started: float | None = None
        self._measured = time.monotonic()

    def exceeded(self) -> str | None:
        """Return the limit that is exceeded, if any.

        Raises:
            Stopped: the caller wants the worker to stop.
        """
        if self._stop is not None and self._stop.is_set():
            raise Stopped("stopped from outside")
        compute = self._compute
        now = time.monotonic()
        if self._started is None and self._mark.exists():
            self._started = now
        if (
            compute.time_limit
            and self._started is not None
            and now - self._started > compute.time_limit
        ):
            return f"exceeded compute.time_limit, {compute.time_limit} seconds"
        if now - self._measured > MEMORY_POLL_SECONDS:
            self._measured = now
            used = _memory(self._pid)
            if used > bytes_of(compute.memory):
                return (
                    f"used {used / 2**30:.2f} GiB of memory, compute.memory is"
                    f" {compute.memory}; raise it, or hold less at once (of a trainer: lower"
                    " batch_size or workers)"
                )
        return None


def _watch(child: Child, limits: _Limits, output: IO[bytes]) -> str | None:
    """Wait until a worker exits, and pass on what it prints.

    Return why it was stopped or killed, or None if it exited by itself.
    """
    relay = OutputRelay(output.fileno(), LOG_BYTES)

    def check() -> str | None:
        relay.pass_on()
        return limits.exceeded()

    try:
        return wait_for(child, check)
    finally:
        relay.finish()


def _memory(pid: int) -> int:
    """Return the bytes of memory of a process and its descendants, without mapped files.

    The system can evict those.
    """
    total = 0
    for process in family(pid):
        try:
            lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
            sizes = {line.split(":")[0]: line.split()[1] for line in lines[1:]}
            total += 1024 * (int(sizes["Pss_Anon"]) + int(sizes["Pss_Shmem"]))
        except (OSError, KeyError, IndexError):
            try:
                total += process.memory_info().rss
            except psutil.Error:
                continue
    return total


def end_of(output: IO[bytes]) -> bytes:
    """Return what a worker has printed: of more than `LOG_BYTES`, the end."""
    size = os.fstat(output.fileno()).st_size
    return os.pread(output.fileno(), LOG_BYTES, max(0, size - LOG_BYTES))


def keep_log(store: Store, subject: str, key: str, owner: Owner, printed: bytes) -> None:
    """Publish what was printed; nothing is lost because a log cannot be written.

    Args:
        store: the project's storage.
        subject: what has printed it, for a warning.
        key: of the log.
        owner: of the log, in the registry.
        printed: the content; nothing is published if it is empty.
    """
    if not printed:
        return
    try:
        with publication(store.workspace, store.registry) as publishing:
            publishing.put(key, printed)
            store.registry.add_files(owner, publishing.files)
    except StorageError as error:
        log.warning("the log of %s could not be kept: %s", subject, error)


def _published(
    store: Store, request: TrainingRequest, outcome: ChildOutcome, reason: str | None
) -> ModelVersion:
    """Return the model version that a worker has published, or raise the error it ended with."""
    if outcome.result is not None:
        reference = Reference(request.specification.name, outcome.result)
        return patiently(lambda: store.registry.model_version(reference))
    reported = named_error(outcome.error, outcome.message, TrainerError)
    if reason is None and reported is not None:
        raise reported
    run_id = request.run_id
    problem = reason or outcome.message or "exited unexpectedly"
    stopped = reason is None and outcome.error == Stopped.__name__
    _close(store, run_id, "canceled" if stopped else "failed", problem)
    raise TrainerError(f"run {run_id[:8]} {problem}; see 'mlops run show {run_id[:8]} --log'")


def _close(store: Store, run_id: str, status: str, error: str) -> None:
    """Record the end of a run that could not do so itself, or was stopped from outside."""
    run = next(iter(patiently(lambda: store.registry.runs(run_id=run_id))), None)
    if (
        run is not None
        and run.status != "succeeded"
        and (run.status == "running" or status == "failed")
    ):
        end_run(store, run_id, status, error)
