"""Runs in the process of a command, on the Dagster instance of the project for its history."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from mlops_assets.components.naming import COMMAND
from mlops_assets.orchestration.results import RunResult, StepFailure, failure_of
from mlops_assets.orchestration.submission import Submission


def run_here(
    instance: dg.DagsterInstance, job: dg.JobDefinition, submission: Submission
) -> RunResult:
    """Run a job in this process.

    Args:
        instance: keeps its history.
        job: the job.
        submission: partition, run config and tags.

    Raises:
        CheckFailure: a blocking check failed; everything else that could run has run.
        StepFailure: a step failed; everything else that could run has run.
        KeyboardInterrupt: the run was interrupted.
    """
    try:
        with _interrupts_kept_from_children():
            result = job.execute_in_process(
                instance=instance,
                partition_key=submission.partition,
                run_config={
                    "ops": dict(submission.ops),
                    "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
                },
                raise_on_error=False,
                tags={COMMAND: "true", **submission.tags},
                run_id=submission.run_id,
            )
    except dg.DagsterInvalidConfigError as error:
        raise StepFailure("\n".join(problem.message for problem in error.errors)) from error
    except dg.DagsterExecutionInterruptedError as error:
        raise KeyboardInterrupt from error
    if not result.success:
        failure = failure_of(result.run_id, result.all_events)
        if failure is None:
            raise KeyboardInterrupt
        raise failure
    return RunResult(result.run_id, result.all_events)


@contextmanager
def _interrupts_kept_from_children() -> Iterator[None]:
    """Block SIGINT in this thread, which processes that it starts inherit.

    Another thread receives it for this process.

    A terminal sends it to every process of the command, and those that copy Dagster's logs would
    print a traceback.
    """
    ended = threading.Event()
    receiver = threading.Thread(target=ended.wait, name="interrupts", daemon=True)
    receiver.start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        ended.set()
        receiver.join()
