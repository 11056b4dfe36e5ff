"""A running sweep: trials are started, a few at a time, until there are enough.

Interrupted trials are resumed.

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
from mlops_assets.training.sweeps.objective import Objective, objective_of
from mlops_assets.training.sweeps.plan import Plan
from mlops_assets.training.sweeps.proposing import propose
from mlops_assets.training.sweeps.results import SweepResult, failure_of, result_of
from mlops_assets.training.sweeps.trials import ENDED, SWEEP, TRIAL, Trial, trials_of
from mlops_assets.training.trainers import load_trainer

FAILURES_AT_FIRST = 3  # that many failed trials, and none that did not fail, are no bad luck
LOOK_SECONDS = 1.0
GONE_SECONDS = 20.0  # how long workers of a sweep that was killed may take to notice

Tell = Callable[[str], None]


def run_sweep(
    store: Store,
    plan: Plan,
    reporter: Reporter,
    orchestration_run: str | None = None,
    tell: Tell = lambda told: None,
) -> SweepResult:
    """Run the trials of a sweep that are not done yet, and propose the best of all as `candidate`.

    Args:
        store: where everything lies.
        plan: what to do.
        reporter: where the stages of the best model report to.
        orchestration_run: id of the Dagster run it is a step of.
        tell: called with what a user should know meanwhile.

    Raises:
        Conflict: the sweep is running elsewhere, or its name is that of another one.
        TrainerError: all of the first trials fail, or none succeeds.
        SpecificationError: what is to be optimised is not logged.
    """
    with plan.claimed(store):
        with step(f"sweep {plan.name} of {plan.model}", plan.trials, "trials") as progress:
            _Sweep(store, plan, orchestration_run, tell, progress).run()
        found = result_of(store, plan)
        tell(
            f"trial {found.best.number} is best, {found.row.model}@{found.row.version}; exporting"
            " and measuring it"
        )
        propose(store, plan.specification, found.row.version, reporter, tell)
        return result_of(store, plan)


@dataclass
class _Sweep:
    store: Store
    plan: Plan
    orchestration_run: str | None
    tell: Tell
    progress: Step
    objective: Objective | None = None
    left_out: int = 0
    stop: threading.Event = field(default_factory=threading.Event)
    running: dict[Future[ModelVersion], Trial] = field(default_factory=dict)

    def trials(self) -> list[Trial]:
        """Return all trials that have begun, also this process's before their runs are recorded."""
        metric = self.objective.metric if self.objective else None
        plan = self.plan
        recorded = patiently(lambda: trials_of(self.store.registry, plan.model, plan.name, metric))
        known = {trial.number: trial for trial in recorded}
        for trial in self.running.values():
            known.setdefault(trial.number, trial)
        return [known[number] for number in sorted(known)]

    def run(self) -> None:
        """Run what is not done yet."""
        plan, deadline = self.plan, _deadline(self.plan.settings.timeout)
        self._close_interrupted()
        begun = {trial.number: trial for trial in self.trials()}
        todo = [n for n in range(plan.trials) if n not in begun or begun[n].state not in ENDED]
        if begun:
            self.tell(
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
                    self._take_in(LOOK_SECONDS)
                if todo:
                    self.tell(f"time is up: {len(todo)} of {plan.trials} trials were not begun")
            except BaseException:  # whatever it is, no worker outlives it
                self.stop.set()
                raise

    def _begin(self, threads: ThreadPoolExecutor, number: int, begun: dict[int, Trial]) -> None:
        plan, before = self.plan, begun.get(number)
        if before is not None:
            trial = replace(before, state="running", run_id=self._run_of(before))
        else:
            found = plan.search().suggest(number, self.trials(), self.objective)
            trial = Trial(
                number, "running", {**plan.space.fixed, **found}, run_id=str(uuid.uuid4())
            )
        parameters = dict(trial.parameters)
        try:
            load_trainer(plan.specification.trainer).parameters(parameters)
        except TrainerError as error:  # each value is accepted, these together are not
            self._leave_out(trial, error)
            return
        request = TrainingRequest(
            specification=plan.specification,
            data_version=plan.data_version,
            parameters=parameters,
            seed=plan.specification.seed,
            orchestration_run=self.orchestration_run,
            run_id=trial.run_id,
            tags={SWEEP: plan.name, TRIAL: str(number)},
            pruning=self._pruning(number),
        )
        future = threads.submit(train_supervised, self.store, request, stop=self.stop)
        self.running[future] = trial

    def _leave_out(self, trial: Trial, error: TrainerError) -> None:
        """Go past a combination that the trainer refuses, unless it refuses all of them."""
        self.tell(f"trial {trial.number} is left out: {error}")
        self.left_out += 1
        if self.left_out >= FAILURES_AT_FIRST and not self.running and not self.trials():
            raise TrainerError(
                f"the first {self.left_out} trials of {self.plan.name} cannot be: {error}"
            ) from error

    def _run_of(self, broken: Trial) -> str:
        """Return the run in which an interrupted trial continues.

        It is the trial's own run, if the code is still the same.
        """
        run = self.store.registry.run(broken.run_id)
        same = run.code_version == code_version(load_trainer(run.trainer).file)
        return run.run_id if same else str(uuid.uuid4())

    def _pruning(self, number: int) -> Pruning | None:
        if self.objective is None or self.plan.settings.prune == "none":
            return None
        metric, direction = self.objective.metric, self.objective.direction
        return Pruning(
            sweep=self.plan.name,
            trial=number,
            metric=metric,
            direction=direction,
            name=self.plan.settings.prune,
        )

    def _take_in(self, seconds: float) -> None:
        """Wait for trials to end, and look at what has come of them."""
        ended, _ = wait(self.running, seconds, FIRST_COMPLETED)
        for future in ended:
            trial = self.running.pop(future)
            error = future.exception()
            if error is None:
                continue
            recorded = patiently(partial(self.store.registry.runs, run_id=trial.run_id))
            if not isinstance(error, MlopsError) or not recorded:  # it is none of the trial's own
                raise error
            self.tell(f"trial {trial.number}: {error}")
        if ended:
            trials = self.trials()
            self._choose(trials)
            self._report(trials)
            _require_some_success(self.plan, trials)

    def _choose(self, trials: Sequence[Trial]) -> None:
        """Settle what is optimised, as soon as a trial has shown what is logged."""
        before = self.objective
        self.objective = objective_of(self.plan.settings, trials, self.plan.specification.gates)
        if self.objective is not None and before is None:
            self.tell(
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
        """Record that trials are canceled whose sweep was killed.

        Nobody else runs them, as the sweep is claimed.
        """
        noticing = Retrying(
            retry=retry_if_result(_any_alive),
            wait=wait_fixed(LOOK_SECONDS),
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
    if len(ended) >= FAILURES_AT_FIRST and all(trial.state == "failed" for trial in ended):
        raise TrainerError(
            f"the first {len(ended)} trials of {plan.name} failed; {failure_of(trials)}"
        )


def _deadline(seconds: float | None) -> float:
    return time.monotonic() + seconds if seconds else float("inf")
