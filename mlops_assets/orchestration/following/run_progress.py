"""The progress of a run in other processes, from its events and from what its trainings log."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Self

import dagster as dg
from sqlalchemy.exc import SQLAlchemyError

from mlops_assets import progress
from mlops_assets.errors import MlopsError
from mlops_assets.orchestration.following.waiting import first_line, reason_of
from mlops_assets.registry import Registry, Run
from mlops_assets.text.printable import printable
from mlops_assets.training.process.run_progress import MAX_POINTS, newest_metrics

Kind = dg.DagsterEventType
_ENDS = {Kind.STEP_SUCCESS, Kind.STEP_FAILURE, Kind.STEP_SKIPPED, Kind.STEP_UP_FOR_RETRY}
# what they state is why nothing happens for a while
_NOTED = {Kind.ENGINE_EVENT, Kind.STEP_WORKER_STARTING, Kind.STEP_RESTARTED}
# metadata of `k8s_job_executor` on a step that it has created a pod for
_KUBERNETES_JOB = "Kubernetes Job name"
# ends of the keys of steps that train
_TRAINING = ("__trained_model", "__sweep")


class RunProgress:
    """The progress of one run: a step for it, and one below for each of its steps.

    Args:
        run: the run.
        steps: number of its steps, if known.
        registry: has the points of its trainings.
        report: called with each line that its steps log.
    """

    def __init__(
        self,
        run: dg.DagsterRun,
        steps: int | None,
        registry: Registry,
        report: Callable[[str], None],
    ) -> None:
        self._run = run
        self._registry = registry
        self._report = report
        self._stack = ExitStack()
        self._whole = self._stack.enter_context(
            progress.step(f"run {run.run_id[:8]} of {run.job_name}", steps, "steps")
        )
        self._steps: dict[str, tuple[progress.Step, ExitStack]] = {}
        # times in the log, in seconds since the epoch: of the run's first and newest entry, and of
        # the beginning of steps
        self._times: tuple[float, float] | None = None
        self._begun: dict[str, float] = {}
        # step → Job of Kubernetes, from when the Job is made until the step begins
        self.pods: dict[str, str] = {}
        # step → why its pod waits, as the run itself has logged it
        self.reasons: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """End the progress, also of steps whose end is not known."""
        self._whole.failed = kind is not None
        for key in list(self._steps):
            self._end(key, failed=True)
        if self._times is not None:
            _set_duration(self._whole, *self._times)
        self._stack.close()

    def note(self, text: str) -> None:
        """Show what the run as a whole waits for; empty if it works."""
        self._whole.note = text

    @property
    def working(self) -> bool:
        """Whether a step of the run is executed."""
        return bool(self._steps)

    def add(self, entry: dg.EventLogEntry) -> None:
        """Take in one entry of the run's log."""
        event = entry.dagster_event
        key = entry.step_key or ""
        self._times = (self._times[0] if self._times else entry.timestamp), entry.timestamp
        if event is None:
            if int(entry.level) >= logging.INFO:
                label = f"{_label(key)}: " if key else ""
                self._report(printable(f"{label}{entry.user_message}"))
            return
        if event.event_type == Kind.STEP_START:
            self._forget_pod(key)
            self._begin(key)
        elif event.event_type in _ENDS:
            self._forget_pod(key)
            self._end(key, failed=event.event_type in (Kind.STEP_FAILURE, Kind.STEP_UP_FOR_RETRY))
            if event.event_type == Kind.STEP_UP_FOR_RETRY:
                reason = reason_of(event.step_retry_data.error)
                self._report(printable(f"{_label(key)} is tried again: {reason}"))
        elif event.event_type in _NOTED:
            message = printable(first_line(event.message or ""))
            self.note(message)
            if event.event_type == Kind.ENGINE_EVENT and key in self.pods:
                self.reasons[key] = message
            if event.event_type == Kind.STEP_WORKER_STARTING:
                job = event.engine_event_data.metadata.get(_KUBERNETES_JOB)
                if job is not None:
                    self.pods[key] = str(job.value)

    def read_trainings(self) -> None:
        """Show the newest metrics of the run's trainings beside the step that trains."""
        if not self._steps:
            return
        try:
            runs = self._registry.runs(orchestration_run=self._run.run_id)
            self._show_trainings(runs)
        except (MlopsError, SQLAlchemyError):
            # a decoration; the next poll tries again
            return

    def _show_trainings(self, runs: list[Run]) -> None:
        training = [run for run in runs if run.status == "running"]
        trains = [step for key, (step, _) in self._steps.items() if key.endswith(_TRAINING)]
        if not trains:
            return
        step = trains[-1]
        if len(runs) > 1:
            step.total, step.unit = None, "trainings"
            running = f"{len(training)} more running" if training else ""
            step.reach(len(runs) - len(training), running)
            return
        if not training:
            return
        points = self._registry.newest_points(training[0].run_id, MAX_POINTS)
        if not points:
            return
        epochs = training[0].parameters.get("epochs")
        step.total = epochs if isinstance(epochs, int) else None
        step.unit = "steps" if step.total is None else "epochs"
        step.reach(points[-1][2] + 1, newest_metrics(points))

    def _forget_pod(self, key: str) -> None:
        self.pods.pop(key, None)
        self.reasons.pop(key, None)

    def _begin(self, key: str) -> None:
        if key in self._steps:
            return
        self.note("")
        if self._times is not None:
            self._begun[key] = self._times[1]
        stack = ExitStack()
        self._steps[key] = stack.enter_context(progress.step(_label(key))), stack

    def _end(self, key: str, failed: bool) -> None:
        found = self._steps.pop(key, None)
        if not failed:
            # counted without a rate, as steps differ by far
            self._whole.done += 1
        if found is None:
            return
        step, stack = found
        step.failed = failed
        if self._times is not None and key in self._begun:
            _set_duration(step, self._begun.pop(key), self._times[1])
        stack.close()


def _set_duration(step: progress.Step, begun: float, ended: float) -> None:
    """Let a step that ends now have taken what the log has, as it may have ended long ago."""
    step.started = time.monotonic() - max(0.0, ended - begun)


def _label(key: str) -> str:
    """Return the asset of a step by its key, `fields/landing` for `fields__landing`."""
    return key.replace("__", "/")
