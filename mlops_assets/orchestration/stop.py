"""The end of runs on demand, so that they can be resumed.

Those of Dagster's queue end by its own means; one of `mlops train` gets the signal of Ctrl-C, if
its process is on this machine and surely that one.
"""

from __future__ import annotations

import os
import signal
import socket
from datetime import UTC
from pathlib import Path

import dagster as dg
import psutil
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError

from mlops_assets.components.naming import COMMAND
from mlops_assets.errors import Conflict
from mlops_assets.orchestration.following.connection import lost_connections
from mlops_assets.registry import Run
from mlops_assets.store import Store
from mlops_assets.training.provenance import process_alive
from mlops_assets.training.resume import close_abandoned_runs

# clocks of processes count in hundredths of a second, from when the machine has started
TOLERANCE_SECONDS = 2.0
_ARGUMENTS = 3  # of a command line: interpreter, its options, script


def stop_run(instance: dg.DagsterInstance, store: Store, run: Run) -> None:
    """Stop a training run that is under way.

    Args:
        instance: the Dagster instance of the project.
        store: has the run.
        run: its row.

    Raises:
        Conflict: it is not under way, or cannot be stopped from here; the message names what can.
    """
    name = run.run_id[:8]
    if run.source != "platform":
        raise Conflict(f"run {name} is external: its own script ends it, on {run.host}")
    if run.status != "running":
        raise Conflict(f"run {name} is not under way; it is {run.status}")
    if not process_alive(run.host, run.pid):
        close_abandoned_runs(store, run.model)
        raise Conflict(
            f"run {name} had lost its process and is now marked as failed; it can be resumed"
        )
    record = instance.get_run_record_by_id(run.orchestration_run or "")
    if record is None or record.dagster_run.is_finished:
        raise Conflict(_elsewhere(run))
    if COMMAND not in record.dagster_run.tags:
        cancel_run(instance, record.dagster_run)
        return
    command = _command(run, record.start_time)
    if command is None:
        raise Conflict(_elsewhere(run))
    try:
        command.send_signal(signal.SIGINT)
    except psutil.Error as error:
        raise Conflict(_elsewhere(run)) from error


def cancel_run(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
    """Cancel a run of Dagster: one that is queued at once, another by the process that it is in.

    Raises:
        Conflict: it has ended, or its process is out of reach.
    """
    if run.is_finished:
        raise Conflict(f"Dagster's run {run.run_id[:8]} has ended; it is {run.status.value}")
    if COMMAND in run.tags:
        raise Conflict(
            f"Dagster's run {run.run_id[:8]} is that of a command; end it by Ctrl-C where it runs"
        )
    try:
        done = instance.run_coordinator.cancel_run(run.run_id)
    except (DagsterUserCodeUnreachableError, DagsterUserCodeProcessError) as error:
        raise Conflict(_unreachable(run)) from error
    except lost_connections():
        raise
    except Exception as error:
        # of any launcher and its cluster, such as one whose configuration is not on this machine
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise Conflict(
            f"Dagster's run {run.run_id[:8]} cannot be cancelled from here: {reason}; cancel it on"
            " Dagster's page of the run, or where its launcher is configured"
        ) from error
    if not done:
        raise Conflict(_unreachable(run))


def _command(run: Run, launched: float | None) -> psutil.Process | None:
    """Return the process of the command whose child trains; None if that is not sure.

    A process id can be used again. So the trainer must have begun after the Dagster run that it
    serves, below a command of the same user that had begun before.

    Args:
        run: row of the training run.
        launched: start of the Dagster run, in seconds since the epoch.
    """
    if launched is None or run.host != socket.gethostname():
        return None
    try:
        trainer = psutil.Process(run.pid)
        if trainer.create_time() < launched - TOLERANCE_SECONDS:
            return None
        for each in trainer.parents():
            if (
                any(Path(word).name == "mlops" for word in each.cmdline()[:_ARGUMENTS])
                and each.create_time() <= launched + TOLERANCE_SECONDS
                and each.uids().real == os.getuid()
            ):
                return each
    except psutil.Error:
        return None
    return None


def _elsewhere(run: Run) -> str:
    begun = f"{run.started.astimezone(UTC):%Y-%m-%d %H:%M} UTC" if run.started else "unknown"
    return (
        f"run {run.run_id[:8]} cannot be stopped from here: press Ctrl-C where it was started, or"
        f" run 'kill -INT' with the process that waits for {run.pid} on {run.host} (started"
        f" {begun})"
    )


def _unreachable(run: dg.DagsterRun) -> str:
    return (
        f"Dagster cannot reach the process of its run {run.run_id[:8]} to stop it; if the process"
        " is gone, 'mlops up' marks the run as failed when it starts"
    )
