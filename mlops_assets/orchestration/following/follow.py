"""Following a run that other processes execute, to its end, whatever happens to the connection."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import dagster as dg
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG

from mlops_assets.errors import Conflict, NotFound
from mlops_assets.orchestration.following.connection import PatientReader, lost_connections
from mlops_assets.orchestration.following.interrupts import Interrupts, still_running
from mlops_assets.orchestration.following.run_progress import RunProgress
from mlops_assets.orchestration.following.waiting import why_queued, why_starting, why_step_waits
from mlops_assets.orchestration.results import RunResult, StepFailure, failure_of
from mlops_assets.orchestration.stop import cancel_run
from mlops_assets.registry import Registry

POLL_SECONDS = 1.0
# between two questions to the queue or the cluster about why a run waits
REASON_SECONDS = 15.0
# for the daemon to launch the retry of a run that it has announced
RETRY_SECONDS = 120.0
MAX_EVENTS = 1000  # of one poll
# to cancel a run whose process is being started, one each poll
MAX_ATTEMPTS = 30

Status = dg.DagsterRunStatus
_NOT_STARTED = (Status.QUEUED, Status.NOT_STARTED, Status.STARTING)


@dataclass(frozen=True)
class Follower:
    """Follows runs of an instance, and shows their progress.

    Attributes:
        instance: the Dagster instance.
        registry: has the metrics of trainings.
        report: called with each line for the user.
    """

    instance: dg.DagsterInstance
    registry: Registry
    report: Callable[[str], None]

    def follow(self, run_id: str, interrupts: Interrupts) -> RunResult:
        """Follow a run, and the retries of it that Dagster makes, to the end.

        Args:
            run_id: of the Dagster run.
            interrupts: of this command; the first cancels the run.

        Raises:
            NotFound: there is no such run.
            CheckFailure: a blocking check failed.
            StepFailure: a step failed, or the run could not be started, or others cancelled it.
            KeyboardInterrupt: it was cancelled by the first interrupt.
            StillRunning: the command ends and the run does not.
        """
        reader = PatientReader(interrupts, self.report)
        while True:
            interrupts.run_id = run_id
            run = self._to_end(run_id, reader)
            retried = self._retry_of(run, reader)
            if retried is None:
                return self._result(run, reader)
            self.report(f"Dagster's run {run_id[:8]} failed; it is retried as run {retried[:8]}")
            run_id = retried

    def _to_end(self, run_id: str, reader: PatientReader) -> dg.DagsterRun:
        """Show the progress of a run until it has ended; return it."""
        run = reader.read(self._run, run_id)
        steps = reader.read(self._steps, run)
        cursor: str | None = None
        cancelling = False
        attempts = 0
        due = 0.0
        with RunProgress(run, steps, self.registry, self.report) as shown:
            while True:
                cursor, more = reader.read(self._add_events, run_id, cursor, shown)
                run = reader.read(self._run, run_id)
                if run.is_finished and not more:
                    # events may be written just before the status is
                    reader.read(self._add_events, run_id, cursor, shown)
                    shown.note("" if run.status == Status.SUCCESS else run.status.value.lower())
                    return run
                if reader.interrupts.requested and not cancelling:
                    attempts += 1
                    cancelling = reader.read(self._cancel, run, attempts < MAX_ATTEMPTS)
                    reader.interrupts.cancelled = cancelling
                if time.monotonic() >= due:
                    due = time.monotonic() + REASON_SECONDS
                    self._show_reason(run, shown)
                shown.read_trainings()
                if not more:
                    reader.interrupts.wait(POLL_SECONDS)

    def _add_events(
        self, run_id: str, cursor: str | None, shown: RunProgress
    ) -> tuple[str | None, bool]:
        """Show the events after a cursor; return the next one, and whether there are more."""
        found = self.instance.get_records_for_run(run_id, cursor, limit=MAX_EVENTS)
        for record in found.records:
            shown.add(record.event_log_entry)
        return found.cursor, found.has_more

    def _show_reason(self, run: dg.DagsterRun, shown: RunProgress) -> None:
        """Show why a run does not work yet."""
        try:
            if run.status == Status.QUEUED:
                shown.note(why_queued(self.instance, run))
            elif run.status == Status.CANCELING:
                shown.note("cancelling; waits for its processes to end")
            elif run.status in _NOT_STARTED:
                shown.note("; ".join(filter(None, ["starting", why_starting(self.instance, run)])))
            elif shown.pods and not shown.working:
                key, job = next(iter(shown.pods.items()))
                logged = shown.reasons.get(key) or f"waits for its pod of {job}"
                reason = why_step_waits(self.instance, run, job, logged)
                shown.note(f"{key.replace('__', '/')}: {reason}")
        except lost_connections():
            # what follows meets it too, and waits
            return

    def _cancel(self, run: dg.DagsterRun, patient: bool) -> bool:
        """Ask for the end of a run; return whether it has been asked for.

        Args:
            run: the run.
            patient: whether one whose process is being started is asked at the next poll again.

        Raises:
            StillRunning: its process cannot be reached.
        """
        try:
            cancel_run(self.instance, run)
        except Conflict as error:
            if run.status in _NOT_STARTED and patient:
                return False
            now = self.instance.get_run_by_id(run.run_id)
            if now is not None and (now.is_finished or now.status == Status.CANCELING):
                return True
            raise still_running(run.run_id, str(error)) from error
        self.report(
            f"cancelling Dagster's run {run.run_id[:8]}; Ctrl-C again ends this command without"
            " waiting"
        )
        return True

    def _retry_of(self, run: dg.DagsterRun, reader: PatientReader) -> str | None:
        """Return the run that retries a failed one; None if none does."""
        until = time.monotonic() + RETRY_SECONDS
        while run.is_complete_and_waiting_to_retry and time.monotonic() < until:
            if reader.interrupts.requested:
                return None
            reader.interrupts.wait(POLL_SECONDS)
            run = reader.read(self._run, run.run_id)
        if run.status != Status.FAILURE:
            return None
        retried = run.tags.get(AUTO_RETRY_RUN_ID_TAG)
        return None if retried == run.run_id else retried

    def _result(self, run: dg.DagsterRun, reader: PatientReader) -> RunResult:
        """Return the outcome of a run that has ended, or raise its failure."""
        entries = reader.read(self.instance.all_logs, run.run_id)
        events = [entry.dagster_event for entry in entries if entry.dagster_event is not None]
        if run.status == Status.SUCCESS:
            return RunResult(run.run_id, events)
        if reader.interrupts.requested:
            raise KeyboardInterrupt
        name = run.run_id[:8]
        if run.status == Status.CANCELED:
            raise StepFailure(
                f"Dagster's run {name} was cancelled by someone else, or with its pod or process",
                run.run_id,
            )
        failure = failure_of(run.run_id, events)
        if failure is None:
            failure = StepFailure(
                f"Dagster's run {name} was interrupted with its process or pod", run.run_id
            )
        raise failure

    def _steps(self, run: dg.DagsterRun) -> int | None:
        """Return the number of steps of a run, if it is known."""
        plan = run.execution_plan_snapshot_id
        if plan is None:
            return None
        return len(self.instance.get_execution_plan_snapshot(plan).step_keys_to_execute)

    def _run(self, run_id: str) -> dg.DagsterRun:
        found = self.instance.get_run_by_id(run_id)
        if found is None:
            raise NotFound(f"Dagster has no run {run_id[:8]}; it was deleted, or never submitted")
        return found
