"""A trainer in a process of its own.

It is watched, limited, and stopped together with every process that it has started.

So one that leaks, hangs, crashes or uses up the memory takes nothing else with it, and its GPUs are
free at its end.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess  # nosec B404
import sys
import time
from contextlib import ExitStack, suppress
from pathlib import Path
from threading import Event
from typing import IO

import psutil

from mlops_assets import errors
from mlops_assets.errors import DataProblems, StorageError, TrainerError
from mlops_assets.models.run_documents import end_run
from mlops_assets.models.specification import Compute, bytes_of
from mlops_assets.names import Reference
from mlops_assets.paths import run_log_key, run_owner
from mlops_assets.principals import Role
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.patience import patiently
from mlops_assets.settings import declared_gpus, parent_settings
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store
from mlops_assets.training.process.forkserver import ForkedProcess
from mlops_assets.training.process.gpu_leases import leased
from mlops_assets.training.process.start import environment_for, start_process
from mlops_assets.training.process.worker import OUTCOME, STARTED, Stopped, WorkerInput
from mlops_assets.training.request import TrainingRequest

LOOK_SECONDS = 0.2
MEMORY_LOOK_SECONDS = 1.0
GRACE_SECONDS = 15.0  # to record what happened, before it is killed
LOG_BYTES = 10 << 20  # of a run's output that are kept: its end

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
    compute = request.specification.compute
    with ExitStack() as stack:
        folder = stack.enter_context(scratch_folder("job"))
        given = WorkerInput(
            workspace=store.workspace.url,
            cache=store.workspace.cache,
            principal=store.registry.principal,
            request=request,
            import_path=[str(Path(entry).resolve()) for entry in sys.path],
        )
        path = folder / "job.json"
        path.write_text(given.model_dump_json())
        machine = _gpus() if compute.gpus else []
        gpus = stack.enter_context(leased(compute.gpus, machine)) if machine else []
        # not in the file, which a killed process leaves: the URL may have a password
        environment = environment_for(compute, gpus) | parent_settings(store.registry.url)
        output = stack.enter_context((folder / "log.txt").open("w+b"))
        try:
            process = start_process(path, request.specification, environment, output)
            reason = _watch(process, output, compute, folder / STARTED, stop)
        except BaseException:
            _close(store, request.run_id, "canceled", "stopped from outside")
            raise
        finally:
            _keep_log(store, request.run_id, output)
        return _outcome(store, request, folder / OUTCOME, reason)


def _gpus() -> list[str]:
    """Return the GPUs of this machine.

    A model that asks for some is trained on the CPU where there is none.
    """
    declared = declared_gpus()
    if declared is None:
        import torch

        declared = [str(index) for index in range(torch.cuda.device_count())]
    if not declared:
        log.warning("compute.gpus is set, and there is no GPU here: training on the CPU")
    return declared


def _watch(
    process: subprocess.Popen[bytes] | ForkedProcess,
    output: IO[bytes],
    compute: Compute,
    mark: Path,
    stop: Event | None,
) -> str | None:
    """Wait until a process ends; return why it was stopped or died, or None if it ended by itself.

    Its time counts from when the file `mark` is there.

    Raises:
        BaseException: whatever interrupts the waiting, once the process is stopped.
    """
    looked, shown = time.monotonic(), 0
    started: float | None = None
    try:
        while process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_SECONDS)
            shown = _show(output, shown)
            if stop is not None and stop.is_set():
                raise Stopped("stopped from outside")
            now = time.monotonic()
            if started is None and mark.exists():
                started = now
            if compute.time_limit and started is not None and now - started > compute.time_limit:
                _stop(process)
                return f"exceeded compute.time_limit, {compute.time_limit} seconds"
            if now - looked > MEMORY_LOOK_SECONDS:
                looked, used = now, _memory(process.pid)
                if used > bytes_of(compute.memory):
                    _stop(process)
                    return (
                        f"used {used / 2**30:.2f} GiB of memory, compute.memory is"
                        f" {compute.memory}; raise it, or lower batch_size or workers"
                    )
    except BaseException:
        _stop(process)
        raise
    finally:
        _show(output, shown)
        if isinstance(process, subprocess.Popen) and process.stdin is not None:
            process.stdin.close()
    if process.returncode is not None and process.returncode < 0:
        number = signal.Signals(-process.returncode)
        likely = "; most likely the machine is out of memory" if number is signal.SIGKILL else ""
        return f"was killed by {number.name}{likely}"
    return None


def _show(output: IO[bytes], shown: int) -> int:
    """Pass on what a process has printed since; return how much was."""
    content = os.pread(output.fileno(), 1 << 20, shown)
    if content:
        sys.stderr.write(content.decode(errors="replace"))
        sys.stderr.flush()
    return shown + len(content)


def _stop(process: subprocess.Popen[bytes] | ForkedProcess) -> None:
    """Ask a process to end, which records it, and then end it and all its children."""
    family = _family(process.pid)
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("process %s does not end; it is killed", process.pid)
    for member in {*family, *_family(process.pid)}:
        with suppress(psutil.Error):
            member.kill()
    process.wait()


def _memory(pid: int) -> int:
    """Return the bytes that a process and its children hold, not counting files that are mapped.

    These give way.
    """
    total = 0
    for process in _family(pid):
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


def _family(pid: int) -> list[psutil.Process]:
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []


def _keep_log(store: Store, run_id: str, output: IO[bytes]) -> None:
    """Publish what a run has printed; a run is not lost because its log cannot be written."""
    size = os.fstat(output.fileno()).st_size
    content = os.pread(output.fileno(), LOG_BYTES, max(0, size - LOG_BYTES))
    if not content:
        return
    try:
        with publication(store.workspace, store.registry) as publishing:
            publishing.put(run_log_key(run_id), content)
            store.registry.add_files(run_owner(run_id), publishing.files)
    except StorageError as error:
        log.warning("the log of run %s could not be kept: %s", run_id, error)


def _outcome(
    store: Store, request: TrainingRequest, path: Path, reason: str | None
) -> ModelVersion:
    """Return the model version that a worker has published, or raise what went wrong."""
    model = request.specification.name
    run_id = request.run_id
    found: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    if "version" in found:
        return patiently(lambda: store.registry.model_version(Reference(model, found["version"])))
    kind = vars(errors).get(found.get("error", ""))
    if reason is None and kind is not None:
        raise (TrainerError if kind is DataProblems else kind)(found["message"])
    problem = f"{reason or found.get('message', 'exited unexpectedly')}"
    stopped = reason is None and found.get("error") == "Stopped"
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
