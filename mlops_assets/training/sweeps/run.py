"""The execution of a sweep: trials are started, a few at a time, and interrupted ones resumed.

This process only waits; each trial is trained in a process of its own.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial

from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from mlops_assets.errors import MlopsError, TrainerError
from mlops_assets.models.lifecycle import Reporter
from mlops_assets.models.run_documents import end_run
from mlops_assets.progress import Step, step
from mlops_assets.registry import ModelVersion, Run
from mlops_assets.registry.patience import patiently
from mlops_assets.store import Store
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets.training.provenance import code_version, process_alive
from mlops_assets.training.request import Pruning, TrainingRequest
from mlops_assets.training.sweeps.candidate import propose
from mlops_assets.training.sweeps.objective import Objective, objective_of
from mlops_assets.training.sweeps.plan import Plan
from mlops_assets.training.sweeps.results import SweepResult, failure_of, result_of
from mlops_assets.training.sweeps.trials import ENDED, SWEEP, TRIAL, Trial, trials_of
from mlops_assets.training.trainers import load_trainer

# after that many failed trials, and no other, the sweep is given up
MAX_FIRST_FAILURES = 3
POLL_SECONDS = 1.0
# time for workers of a killed sweep to notice that it is gone
GONE_SECONDS = 20.0

Notify = Callable[[str], None]


def run_sweep(
    store: Store,
    plan: Plan,
    reporter: Reporter,
    orchestration_run: str | None = None,
    notify: Notify = lambda message: None,
) -> SweepResult:
    """Run the trials of a sweep that are not done yet, and propose the best of all as `candidate`.

    Args:
        store: the project's storage.
        plan: the sweep.
        reporter: receives the results of the stages of the best model.
        orchestration_run: id of the Dagster run it is a step of.
        notify: called with messages for the user.

    Returns:
        The result of all trials.

    Raises:
        Conflict: the sweep is running in another process, or another sweep has its name.
        TrainerError: all of the first trials fail, or none succeeds.
        SpecificationError: the metric to optimise is not logged.
    """
    with plan.claimed(store):
        with step(f"sweep {plan.name} of {plan.model}", plan.trials, "trials") as progress:
            _Sweep(store, plan, orchestration_run, notify, progress).run()
        found = result_of(store, plan)
        notify(
            f"trial {found.best.number} is best, {found.row.model}@{found.row.version}; exporting"
            " and measuring it"
        )
        propose(store, plan.specification, found.row.version, reporter, notify)
        return result_of(store, plan)


@dataclass
class _Sweep:
    store: Store
    plan: Plan
    orchestration_run: str | None
    notify: Notify
    progress: Step
    objective: Objective | None = None
    skipped: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    running: dict[Future[ModelVersion], Trial] = field(default_factory=dict)

    def trials(self) -> list[Trial]:
        """Return all trials that have begun, with this process's that are not recorded yet."""
        metric = self.objective.metric if self.objective else None
        plan = self.plan
        recorded = patiently(lambda: trials_of(self.store.registry, plan.model, plan.name, metric))
        known = {trial.number: trial for trial in recorded}
        for trial in self.running.values():
            known.setdefault(trial.number, trial)
        return [known[number] for number in sorted(known)]

    def run(self) -> None:
        """Run what is not done yet."""
        plan = self.plan
        deadline = _deadline(plan.settings.timeout)
        self._close_interrupted()
        begun = {trial.number: trial for trial in self.trials()}
        todo = [n for n in range(plan.trials) if n not in begun or begun[n].state not in ENDED]
        if begun:
            self.notify(
                f"{plan.name} continues: {plan.trials - len(todo)} of {plan.trials} trials are done"
            )
        self._choose(list(begun.values()))
        self._report(list(begun.values()))
        with ThreadPoolExecutor(plan.settings.parallel, thread_name_prefix="trial") as threads:
            try:
                while (todo and time.monotonic() < deadline) or self.running:
                    together = plan.settings.parallel if self.objective else 1
                    while todo and len(self.running) < together and time.monotonic() < deadline:
                        self._begin(threads, todo.pop(0), begun)
                    self._collect(POLL_SECONDS)
                if todo:
                    self.notify(f"time is up: {len(todo)} of {plan.trials} trials were not begun")
            except BaseException:
                # no worker outlives the sweep
                self.stop.set()
                raise

    def _begin(self, threads: ThreadPoolExecutor, number: int, begun: dict[int, Trial]) -> None:
        plan = self.plan
        before = begun.get(number)
        if before is not None:
            trial = replace(before, state="running", run_id=self._run_of(before))
        else:
            found = plan.search().suggest(number, self.trials(), self.objective)
            trial = Trial(
                number, "running", {**plan.space.fixed, **found}, run_id=str(uuid.uuid4())
            )
        parameters: dict[str, object] = dict(trial.parameters)
        try:
            load_trainer(plan.specification.trainer).parameters(parameters)
        except TrainerError as error:
            # each value is accepted, these together are not
            self._skip(trial, error)
            return
        request = TrainingRequest(
            specification=plan.specification,
            data_version=plan.data_version,
            parameters=parameters,
            seed=plan.specification.seed,
            orchestration_run=self.orchestration_run,
            run_id=trial.run_id,
            tags={**plan.tags, SWEEP: plan.name, TRIAL: str(number)},
            pruning=self._pruning(number),
        )
        future = threads.submit(train_supervised, self.store, request, stop=self.stop)
        self.running[future] = trial

    def _skip(self, trial: Trial, error: TrainerError) -> None:
        """Skip a combination that the trainer refuses, unless it refuses all of them."""
        self.notify(f"trial {trial.number} is skipped: {error}")
        self.skipped += 1
        if self.skipped >= MAX_FIRST_FAILURES and not self.running and not self.trials():
            raise TrainerError(
                f"the first {self.skipped} trials of {self.plan.name} are invalid: {error}"
            ) from error

    def _run_of(self, interrupted: Trial) -> str:
        """Return the run in which an interrupted trial continues.

        It is the trial's own run, if the code is still the same.
        """
        run = self.store.registry.run(interrupted.run_id)
        same = run.code_version == code_version(load_trainer(run.trainer).file)
        return run.run_id if same else str(uuid.uuid4())

    def _pruning(self, number: int) -> Pruning | None:
        if self.objective is None or self.plan.settings.prune == "none":
            return None
        return Pruning(
            sweep=self.plan.name,
            trial=number,
            metric=self.objective.metric,
            direction=self.objective.direction,
            name=self.plan.settings.prune,
        )

    def _collect(self, seconds: float) -> None:
        """Wait for trials to end, and collect their results."""
        ended, _ = wait(self.running, seconds, FIRST_COMPLETED)
        for future in ended:
            trial = self.running.pop(future)
            error = future.exception()
            if error is None:
                continue
            recorded = patiently(partial(self.store.registry.runs, run_id=trial.run_id))
            # not an error of the trial
            if not isinstance(error, MlopsError) or not recorded:
                raise error
            self.notify(f"trial {trial.number}: {error}")
        if ended:
            trials = self.trials()
            self._choose(trials)
            self._report(trials)
            _require_some_success(self.plan, trials)

    def _choose(self, trials: Sequence[Trial]) -> None:
        """Choose the objective, as soon as a trial has logged metrics."""
        before = self.objective
        self.objective = objective_of(self.plan.settings, trials, self.plan.specification.gates)
        if self.objective is not None and before is None:
            self.notify(
                f"optimising {self.objective.metric} of the validation split:"
                f" {self.objective.direction}"
            )

    def _report(self, trials: Sequence[Trial]) -> None:
        """Report how many trials have ended, and the best of them."""
        ranked = self.objective.ranked(trials) if self.objective else []
        best = ""
        if self.objective and ranked:
            best = (
                f"best {self.objective.metric} {self.objective.value(ranked[0]):.4g} in trial"
                f" {ranked[0].number}"
            )
        self.progress.reach(sum(trial.state in ENDED for trial in trials), best)

    def _close_interrupted(self) -> None:
        """Record the trials of a killed sweep as canceled.

        No other process runs them, as this one holds the lock of the sweep.
        """
        noticing = Retrying(
            retry=retry_if_result(_any_alive),
            wait=wait_fixed(POLL_SECONDS),
            stop=stop_after_delay(GONE_SECONDS),
        )
        error = f"sweep {self.plan.name} was killed; start it again to continue"
        with suppress(RetryError):
            noticing(self._unfinished_runs)
        for run in self._unfinished_runs():
            end_run(self.store, run.run_id, "canceled", error)

    def _unfinished_runs(self) -> list[Run]:
        runs = [self.store.registry.run(trial.run_id) for trial in self.trials()]
        return [run for run in runs if run.status == "running"]


def _any_alive(runs: Sequence[Run]) -> bool:
    return any(process_alive(run.host, run.pid) for run in runs)


def _require_some_success(plan: Plan, trials: Sequence[Trial]) -> None:
    ended = [trial for trial in trials if trial.state != "running"]
    if len(ended) >= MAX_FIRST_FAILURES and all(trial.state == "failed" for trial in ended):
        raise TrainerError(
            f"the first {len(ended)} trials of {plan.name} failed; {failure_of(trials)}"
        )


def _deadline(seconds: float | None) -> float:
    return time.monotonic() + seconds if seconds else float("inf")
