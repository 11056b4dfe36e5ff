"""The next parameters of a sweep, decided by Optuna from the trials so far.

There is no state between two decisions: a trial's parameters depend only on the seed, its number,
and the trials before it. So an interrupted sweep continues as if it had not been interrupted.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import optuna
from optuna import Study
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial, TrialState, create_trial

from mlops_assets.choices import Direction, Method
from mlops_assets.errors import SpecificationError
from mlops_assets.text.json_values import Json, JsonObject
from mlops_assets.training.sweeps.objective import Objective
from mlops_assets.training.sweeps.space import Axis, Space
from mlops_assets.training.sweeps.trials import Trial

# it logs each study, and ours live for one decision
optuna.logging.set_verbosity(optuna.logging.WARNING)


@dataclass(frozen=True)
class Search:
    """The search of a space by a method.

    Attributes:
        space: the parameters.
        method: grid, random or tpe.
        seed: of the random draws.
    """

    space: Space
    method: Method
    seed: int

    def suggest(
        self, number: int, trials: Sequence[Trial], objective: Objective | None
    ) -> JsonObject:
        """Return the searched parameters of a trial.

        Args:
            number: of the trial.
            trials: those that have begun, with series where they were pruned.
            objective: the metric that is optimised; None as long as it is not known.

        Returns:
            name → value, for each axis of the space.
        """
        if self.method == "grid":
            return self.space.point(number)
        seed = int.from_bytes(hashlib.sha256(f"{self.seed}/{number}".encode()).digest()[:4], "big")
        sampler = (
            optuna.samplers.RandomSampler(seed)
            if self.method == "random"
            else optuna.samplers.TPESampler(seed=seed)
        )
        known = trials if self.method == "tpe" and objective else ()
        study = self._study(known, objective, number, sampler)
        distributions = {name: _distribution(axis) for name, axis in self.space.axes.items()}
        found = study.ask(distributions).params
        return {name: _value(axis, found[name]) for name, axis in self.space.axes.items()}

    def importances(self, trials: Sequence[Trial], objective: Objective) -> dict[str, float | None]:
        """Return the importance of each parameter, largest first.

        Args:
            trials: of the sweep.
            objective: the metric that is optimised.

        Returns:
            name → share of the variance of the objective that the parameter explains; None, at the
            end, for those that had one value in all trials. The shares add up to 1. Empty if there
            are too few trials, or fewer than two parameters varied, to estimate them.
        """
        ranked = objective.ranked(trials)
        varied = [
            name
            for name in self.space.axes
            if any(trial.parameters.get(name) != ranked[0].parameters.get(name) for trial in ranked)
        ]
        if len(varied) < 2:
            return {}
        study = self._study(trials, objective, max(trial.number for trial in trials) + 1, None)
        with warnings.catch_warnings():
            # of axes with one value, and of experimental parts
            warnings.simplefilter("ignore")
            try:
                found = optuna.importance.get_param_importances(study, params=varied)
            except (RuntimeError, ValueError):
                # all values are equal
                return {}
        constant = [name for name in self.space.axes if name not in varied]
        return {name: float(value) for name, value in found.items()} | dict.fromkeys(constant)

    def _study(
        self,
        trials: Sequence[Trial],
        objective: Objective | None,
        number: int,
        sampler: BaseSampler | None,
    ) -> Study:
        direction: Direction = objective.direction if objective else "minimize"
        study = optuna.create_study(direction=direction, sampler=sampler)
        known = {trial.number: trial for trial in trials}
        for before in range(number):
            study.add_trial(self._recorded(known.get(before), objective))
        return study

    def _recorded(self, trial: Trial | None, objective: Objective | None) -> FrozenTrial:
        if trial is None or objective is None:
            return create_trial(state=TrialState.FAIL)
        value = objective.value(trial)
        states = {
            "succeeded": TrialState.COMPLETE,
            "pruned": TrialState.PRUNED,
            "running": TrialState.RUNNING,
        }
        state = states.get(trial.state, TrialState.FAIL)
        if state is TrialState.COMPLETE and value is None:
            state = TrialState.FAIL
        return create_trial(
            state=state,
            value=value if state in (TrialState.COMPLETE, TrialState.PRUNED) else None,
            params={name: _internal(name, axis, trial) for name, axis in self.space.axes.items()},
            distributions={name: _distribution(axis) for name, axis in self.space.axes.items()},
            intermediate_values=dict(trial.series),
        )


def _distribution(axis: Axis) -> BaseDistribution:
    """Return the distribution that Optuna searches.

    Choices are given by position, as it takes no lists or dictionaries.
    """
    if axis.choices is not None:
        return CategoricalDistribution(range(len(axis.choices)))
    if axis.integer:
        return IntDistribution(
            round(axis.low), round(axis.high), log=axis.log, step=round(axis.step or 1)
        )
    return FloatDistribution(axis.low, axis.high, log=axis.log, step=axis.step)


def _value(axis: Axis, found: float) -> Json:
    """Return the value of a position of a choice, or of a number."""
    return axis.choices[int(found)] if axis.choices is not None else axis.number(found)


def _internal(name: str, axis: Axis, trial: Trial) -> float:
    """Return a parameter of a trial as Optuna stores it.

    Raises:
        SpecificationError: the space does not have its value.
    """
    value = trial.parameters.get(name)
    if axis.choices is not None and value in axis.choices:
        return axis.choices.index(value)
    if axis.choices is None and isinstance(value, int | float) and axis.low <= value <= axis.high:
        return axis.number(value)
    raise SpecificationError(
        f"trial {trial.number} was run with {name} = {value!r}, which the space does not have;"
        " give the sweep another name to start a new one"
    )
