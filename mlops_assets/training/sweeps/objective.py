"""The objective of a sweep: a metric of the validation split that the trainer logs.

The test split is never read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlops_assets.choices import Direction
from mlops_assets.errors import SpecificationError
from mlops_assets.models.specification import Gate
from mlops_assets.training.sweeps.settings import SweepSettings
from mlops_assets.training.sweeps.trials import Trial

SMALLER = {"loss", "error", "rmse", "mae", "mse", "ece", "nll", "perplexity", "logloss", "deviance"}
LARGER = {
    "accuracy",
    "f1",
    "iou",
    "miou",
    "precision",
    "recall",
    "kappa",
    "score",
    "r2",
    "auc",
    "dice",
    "map",
}
_VALIDATION = re.compile(r"^(validation|val|valid)[_./-](.+)$")
_PREFERRED = (
    "macro_f1",
    "mean_iou",
    "balanced_accuracy",
    "accuracy",
    "kappa",
    "r2",
    "rmse",
    "mae",
    "score",
    "loss",
)


@dataclass(frozen=True)
class Objective:
    """The metric that is optimised, and its direction."""

    metric: str
    direction: Direction

    def value(self, trial: Trial) -> float | None:
        """Return the objective of a trial: the last value logged, which is the run's own metric."""
        value = trial.metrics.get(self.metric)
        return value if value is not None and math.isfinite(value) else None

    def ranked(self, trials: Iterable[Trial]) -> list[Trial]:
        """Return the trials that succeeded and have a value, best first.

        Of equal ones, the earlier one comes first.
        """
        sign = 1 if self.direction == "minimize" else -1
        keys: list[tuple[float, int, Trial]] = []
        for trial in trials:
            value = self.value(trial)
            if trial.state == "succeeded" and value is not None:
                keys.append((sign * value, trial.number, trial))
        return [trial for _, _, trial in sorted(keys, key=lambda key: key[:2])]


def direction_of(metric: str, given: Direction | None = None) -> Direction:
    """Return the direction in which a metric gets better: as given, else by its name.

    Raises:
        SpecificationError: the direction is neither given nor known by the name.
    """
    found = given or _direction(metric)
    if found is None:
        raise SpecificationError(
            f"direction: it is unknown for {metric!r}; set minimize or maximize"
        )
    return found


def objective_of(
    settings: SweepSettings, trials: Iterable[Trial], gates: Sequence[Gate]
) -> Objective | None:
    """Return the objective of a sweep.

    If the settings name no metric, it is chosen from those that the first successful trial logged:
    one of a gate, else a usual one.

    Args:
        settings: of the sweep.
        trials: those that have begun.
        gates: of the model.

    Returns:
        The objective; None as long as the settings name no metric and no trial has succeeded.

    Raises:
        SpecificationError: that trial did not log the metric of the settings, or none of the
            validation split.
    """
    first = next((trial for trial in trials if trial.state == "succeeded"), None)
    if settings.metric is not None:
        if first is not None and settings.metric not in first.metrics:
            raise SpecificationError(f"metric: {settings.metric!r} is not logged; {_logged(first)}")
        return Objective(settings.metric, direction_of(settings.metric, settings.direction))
    if first is None:
        return None
    names = {
        match[2]: match[0]
        for name in first.metrics
        if (match := _VALIDATION.match(name)) and _direction(name)
    }
    wanted = [*(gate.metric for gate in gates), *_PREFERRED, *sorted(names)]
    found = next((names[name] for name in wanted if name in names), None)
    if found is None:
        raise SpecificationError(
            f"metric: the trainer logs none of the validation split to choose by; {_logged(first)};"
            " log one, such as validation_accuracy, or name one with its direction"
        )
    return Objective(found, direction_of(found, settings.direction))


def _logged(trial: Trial) -> str:
    return f"trial {trial.number} logged {', '.join(sorted(trial.metrics)) or 'nothing'}"


def _direction(metric: str) -> Direction | None:
    words = set(re.split(r"[^a-z0-9]+", metric.lower()))
    if words & SMALLER:
        return "minimize"
    return "maximize" if words & LARGER else None
