"""In the process of a trial: whether it does so badly, beside the others, that it may stop.

Optuna's pruners decide; what the other trials logged is read from the registry, where it is anyway.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import optuna
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState, create_trial

from mlops_assets.choices import Direction, PrunerName
from mlops_assets.errors import TrialPruned
from mlops_assets.registry import Registry
from mlops_assets.registry.patience import patiently
from mlops_assets.training.sweeps.trials import Trial, trials_of

LOOK_SECONDS = 5.0  # how old what is known of the other trials may be
REDUCTION = 3  # of Hyperband: trials are compared at steps 1, 3, 9, …

optuna.logging.set_verbosity(optuna.logging.WARNING)


def pruner(
    registry: Registry,
    model: str,
    *,
    sweep: str,
    trial: int,
    metric: str,
    direction: Direction,
    name: PrunerName,
) -> Callable[[Mapping[str, float], int], None]:
    """Return what watches over a trial, and is told everything that it logs.

    Args:
        registry: where the trials are.
        model: the model.
        sweep: the sweep.
        trial: number of the trial.
        metric: what is optimised.
        direction: which way.
        name: the pruner.
    """
    watched = _Watched(
        lambda: trials_of(registry, model, sweep, metric), sweep, trial, direction, name
    )

    def watch(metrics: Mapping[str, float], step: int) -> None:
        if metric in metrics and watched.may_stop(step, float(metrics[metric])):
            raise TrialPruned(
                f"pruned at step {step}: {metric} is {metrics[metric]:.6g}, and other trials of"
                f" {sweep} did better by then"
            )

    return watch


class _Watched:
    """One trial beside the others of its sweep."""

    def __init__(
        self,
        read: Callable[[], list[Trial]],
        sweep: str,
        number: int,
        direction: Direction,
        name: PrunerName,
    ) -> None:
        self._read, self._sweep, self._number = read, sweep, number
        self._direction, self._name = direction, name
        self._own: dict[int, float] = {}
        self._trial: OptunaTrial | None = None
        self._looked = -float("inf")

    def may_stop(self, step: int, value: float) -> bool:
        """Return whether the trial may stop, given its value at a step."""
        if time.monotonic() - self._looked > LOOK_SECONDS:
            self._look()
        if step in self._own:  # told twice, or by an earlier attempt
            return False
        self._own[step] = value
        if self._trial is None:
            return False
        self._trial.report(value, step)
        return bool(self._trial.should_prune())

    def _look(self) -> None:
        """Take up what the trials have come to by now."""
        trials = {trial.number: trial for trial in patiently(self._read)}
        if self._looked < 0 and self._number in trials:  # a trial that continues has a past
            self._own = dict(trials[self._number].series)
        self._looked = time.monotonic()
        ended = [
            trial.series[-1][0]
            for trial in trials.values()
            if trial.state == "succeeded" and trial.series
        ]
        if not ended:  # nothing to be compared with
            self._trial = None
            return
        study = optuna.create_study(
            study_name=self._sweep,
            direction=self._direction,
            pruner=_pruner(self._name, max(ended) + 1),
        )
        for number in range(max([self._number, *trials]) + 1):
            if number == self._number:
                self._trial = _replayed(study, list(self._own.items()), self._name)
            elif number not in trials or not trials[number].series:
                study.add_trial(create_trial(state=TrialState.FAIL))
            else:
                _add(study, trials[number], self._name)


def _pruner(name: PrunerName, steps: int) -> BasePruner:
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=steps, reduction_factor=REDUCTION)
    return MedianPruner()


def _add(study: Any, trial: Trial, name: PrunerName) -> None:
    """Report to a study a trial that runs elsewhere, or has ended."""
    added = _replayed(study, trial.series, name)
    value = trial.series[-1][1]
    if trial.state == "succeeded":
        study.tell(added, value)
    elif trial.state != "running":
        study.tell(added, state=TrialState.PRUNED if trial.state == "pruned" else TrialState.FAIL)


def _replayed(study: Any, series: Sequence[tuple[int, float]], name: PrunerName) -> OptunaTrial:
    """Return a new trial of a study that has reported a series.

    Hyperband notes what a trial had come to at each of its steps when it is asked about it, so it
    is asked again.
    """
    trial: OptunaTrial = study.ask()
    next_rung = 1
    for step, value in dict(series).items():
        trial.report(value, step)
        if name == "hyperband" and step >= next_rung:
            trial.should_prune()
            while next_rung <= step:
                next_rung *= REDUCTION
    return trial
