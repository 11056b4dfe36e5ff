"""The pruning of a trial, decided in its own process.

Optuna's pruners decide; what the other trials logged is read from the registry.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

import optuna
from optuna import Study
from optuna.pruners import BasePruner, HyperbandPruner, MedianPruner
from optuna.trial import Trial as OptunaTrial
from optuna.trial import TrialState, create_trial

from mlops_assets.choices import PrunerName
from mlops_assets.errors import TrialPruned
from mlops_assets.registry import Registry
from mlops_assets.registry.patience import patiently
from mlops_assets.training.request import Pruning
from mlops_assets.training.sweeps.trials import Trial, trials_of

# how old the state of the other trials may be
REFRESH_SECONDS = 5.0
# of Hyperband: trials are compared at steps 1, 3, 9, …
REDUCTION = 3

optuna.logging.set_verbosity(optuna.logging.WARNING)


def pruner(
    registry: Registry, model: str, pruning: Pruning
) -> Callable[[Mapping[str, float], int], None]:
    """Return the watcher of a trial, which is called with everything that the trial logs.

    Args:
        registry: contains the trials.
        model: the model.
        pruning: the trial, its sweep, and the rule.

    Returns:
        A function of metrics and step that raises TrialPruned when the trial may stop.
    """
    watched = _Watched(registry, model, pruning)
    metric = pruning.metric

    def watch(metrics: Mapping[str, float], step: int) -> None:
        if metric in metrics and watched.may_stop(step, float(metrics[metric])):
            raise TrialPruned(
                f"pruned at step {step}: {metric} is {metrics[metric]:.6g}, and other trials of"
                f" {pruning.sweep} did better by then"
            )

    return watch


class _Watched:
    """A trial compared with the others of its sweep."""

    def __init__(self, registry: Registry, model: str, pruning: Pruning) -> None:
        self._registry = registry
        self._model = model
        self._pruning = pruning
        self._own: dict[int, float] = {}
        self._trial: OptunaTrial | None = None
        self._refreshed = -float("inf")

    def may_stop(self, step: int, value: float) -> bool:
        """Return whether the trial may stop, given its value at a step."""
        if time.monotonic() - self._refreshed > REFRESH_SECONDS:
            self._refresh()
        # logged twice, or by an earlier attempt
        if step in self._own:
            return False
        self._own[step] = value
        if self._trial is None:
            return False
        self._trial.report(value, step)
        return bool(self._trial.should_prune())

    def _refresh(self) -> None:
        """Rebuild the study from what the trials have logged by now."""
        pruning = self._pruning
        trials = {trial.number: trial for trial in patiently(self._read)}
        # a trial that continues has a past
        if self._refreshed < 0 and pruning.trial in trials:
            self._own = dict(trials[pruning.trial].series)
        self._refreshed = time.monotonic()
        ended = [
            trial.series[-1][0]
            for trial in trials.values()
            if trial.state == "succeeded" and trial.series
        ]
        # nothing to be compared with
        if not ended:
            self._trial = None
            return
        study = optuna.create_study(
            study_name=pruning.sweep,
            direction=pruning.direction,
            pruner=_pruner(pruning.name, max(ended) + 1),
        )
        for number in range(max([pruning.trial, *trials]) + 1):
            if number == pruning.trial:
                self._trial = _replayed(study, list(self._own.items()), pruning.name)
            elif number not in trials or not trials[number].series:
                study.add_trial(create_trial(state=TrialState.FAIL))
            else:
                _add(study, trials[number], pruning.name)

    def _read(self) -> list[Trial]:
        return trials_of(self._registry, self._model, self._pruning.sweep, self._pruning.metric)


def _pruner(name: PrunerName, steps: int) -> BasePruner:
    if name == "hyperband":
        return HyperbandPruner(min_resource=1, max_resource=steps, reduction_factor=REDUCTION)
    return MedianPruner()


def _add(study: Study, trial: Trial, name: PrunerName) -> None:
    """Report a trial of another process, running or ended, to a study."""
    added = _replayed(study, trial.series, name)
    value = trial.series[-1][1]
    if trial.state == "succeeded":
        study.tell(added, value)
    elif trial.state != "running":
        study.tell(added, state=TrialState.PRUNED if trial.state == "pruned" else TrialState.FAIL)


def _replayed(study: Study, series: Sequence[tuple[int, float]], name: PrunerName) -> OptunaTrial:
    """Return a new trial of a study that has reported a series.

    Hyperband notes what a trial had come to at each of its steps when it is asked about it, so it
    is asked again.
    """
    trial = study.ask()
    next_rung = 1
    for step, value in dict(series).items():
        trial.report(value, step)
        if name == "hyperband" and step >= next_rung:
            trial.should_prune()
            while next_rung <= step:
                next_rung *= REDUCTION
    return trial
