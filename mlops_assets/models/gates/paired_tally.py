"""Counts of two models on the same samples, by unit, and the differences of their metrics.

Nothing here depends on models, files or data versions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from mlops_assets.models.evaluation.bootstrap import MAX_PAIRED_UNITS, paired_differences
from mlops_assets.models.evaluation.calibration import CalibrationTally, Scores, many_calibrations
from mlops_assets.models.evaluation.metrics import metrics_of_counts, single_class_metrics
from mlops_assets.models.evaluation.tally import many_number_metrics
from mlops_assets.models.specification import SIGNED, class_metric, is_minimised

Sums = NDArray[np.float64]
Values = dict[str, NDArray[np.float64]]


class MetricComparison(BaseModel):
    """One metric of two versions on the same samples.

    Attributes:
        value: of the version.
        other: of the version that it is compared with.
        difference: by how much it is better; negative if it is worse.
        half_width: distance of the 95 % bounds from that; None if the units do not determine it.
        units: number of units that the metric is measured on.
    """

    model_config = ConfigDict(frozen=True)

    value: float
    other: float
    difference: float
    half_width: float | None
    units: int


class PairedTally(Protocol):
    """Counts predictions of two models, 0 and 1."""

    def known(self, truth: NDArray[np.int64 | np.float64]) -> NDArray[np.bool_]:
        """Return which labels are known."""
        ...

    def count(
        self,
        model: int,
        truth: NDArray[np.int64 | np.float64],
        predicted: NDArray[np.number],
        scores: NDArray[np.number] | None,
        unit: NDArray[np.int64],
    ) -> None:
        """Count predictions of one model.

        Args:
            model: 0 or 1.
            truth: known labels, (n,).
            predicted: (n,).
            scores: of each class of the model, (n, classes).
            unit: number of the unit of each, below `MAX_PAIRED_UNITS`, (n,).
        """
        ...

    def metrics(self, units: int) -> dict[str, MetricComparison]:
        """Return the comparison of each metric that was measured of both.

        Args:
            units: number of units, which may have been counted in bags.
        """
        ...


class PairedClasses:
    """Counts classes that two models predict; each may know other classes, in another order.

    Args:
        class_names: names of the true classes, in the order of their indices.
        classes: names of the classes of each model, in the order of its indices.
        scores: kind of the scores of each model; calibration is compared if both are known.
    """

    def __init__(
        self,
        class_names: Sequence[str],
        classes: Sequence[Sequence[str]],
        scores: Sequence[Scores | None],
    ) -> None:
        self._names = list(dict.fromkeys([*class_names, *classes[0], *classes[1]]))
        index = {name: number for number, name in enumerate(self._names)}
        self._common = [np.array([index[name] for name in own], dtype=np.int64) for own in classes]
        # the index of each class in the model, -1 if it does not know it
        self._own = [np.full(len(self._names), -1, dtype=np.int64) for _ in classes]
        for own, common in zip(self._own, self._common, strict=True):
            own[common] = np.arange(len(common))
        # right, true and predicted of each class
        self._sums = np.zeros((MAX_PAIRED_UNITS, 2, 3, len(self._names)))
        self._calibrations = [
            CalibrationTally(MAX_PAIRED_UNITS, kind) for kind in scores if kind and all(scores)
        ]

    def known(self, truth: NDArray[np.int64 | np.float64]) -> NDArray[np.bool_]:
        """Return which labels are known."""
        return np.asarray(truth >= 0)

    def count(
        self,
        model: int,
        truth: NDArray[np.int64 | np.float64],
        predicted: NDArray[np.number],
        scores: NDArray[np.number] | None,
        unit: NDArray[np.int64],
    ) -> None:
        """Count predictions of one model; see `PairedTally`."""
        true = truth.astype(np.int64)
        given = predicted.astype(np.int64)
        named = self._common[model][given]
        right = true == named
        for number, (classes, units) in enumerate(
            [(true[right], unit[right]), (true, unit), (named, unit)]
        ):
            np.add.at(self._sums, (units, model, number, classes), 1)
        if self._calibrations and scores is not None:
            self._calibrations[model].add(scores, given, self._own[model][true], unit)

    def metrics(self, units: int) -> dict[str, MetricComparison]:
        """Return the comparison of each metric that was measured of both."""
        with_class = (self._sums[:, 0, 1] > 0).sum(axis=0)
        # of bags there are fewer
        share = units / max(1, int((self._sums[:, 0, 1].sum(axis=1) > 0).sum()))

        def units_of(metric: str) -> int:
            name = class_metric(metric)
            return units if name is None else int(with_class[self._names.index(name[1])] * share)

        found = _compared(self._sums.reshape(MAX_PAIRED_UNITS, 2, -1), self._values, units_of)
        if self._calibrations:
            results = [tally.result() for tally in self._calibrations]

            def calibrated(sums: Sums) -> Values:
                own = [
                    many_calibrations(sums[:, number], calibration.confidence)
                    for number, (calibration, _) in enumerate(results)
                ]
                return {name: np.stack([each[name] for each in own], axis=1) for name in own[0]}

            sums = np.stack([sums for _, sums in results], axis=1)
            found |= _compared(sums, calibrated, units_of)
        return found

    def _values(self, sums: Sums) -> Values:
        counts = sums.reshape(len(sums), 2, 3, -1)
        right, true, predicted = counts[:, :, 0], counts[:, :, 1], counts[:, :, 2]
        found = metrics_of_counts(right, true, predicted)
        for number, name in enumerate(self._names):
            own = single_class_metrics(*(each[..., number] for each in (right, true, predicted)))
            found |= {f"{measure}.{name}": values for measure, values in own.items()}
        return found


class PairedNumbers:
    """Sums up the errors of two regressions."""

    def __init__(self) -> None:
        self._sums = np.zeros((MAX_PAIRED_UNITS, 2, 6))
        self._centre: float | None = None

    def known(self, truth: NDArray[np.int64 | np.float64]) -> NDArray[np.bool_]:
        """Return which labels are known."""
        return np.isfinite(truth)

    def count(
        self,
        model: int,
        truth: NDArray[np.int64 | np.float64],
        predicted: NDArray[np.number],
        scores: NDArray[np.number] | None,
        unit: NDArray[np.int64],
    ) -> None:
        """Count predictions of one model; see `PairedTally`."""
        if self._centre is None:
            self._centre = float(truth.mean())
        error = predicted.astype(np.float64) - truth
        # centred, as squares of large numbers lose the digits in which they differ
        centred = truth - self._centre
        columns = (np.ones(len(truth)), error, error**2, np.abs(error), centred, centred**2)
        np.add.at(self._sums[:, model], unit, np.stack(columns, axis=1))

    def metrics(self, units: int) -> dict[str, MetricComparison]:
        """Return the comparison of each metric that was measured of both."""
        return _compared(self._sums, self._values, lambda _: units)

    @staticmethod
    def _values(sums: Sums) -> Values:
        found = many_number_metrics(sums.reshape(-1, 6))
        return {name: values.reshape(-1, 2) for name, values in found.items()}


def _compared(
    sums: Sums, values: Callable[[Sums], Values], units: Callable[[str], int]
) -> dict[str, MetricComparison]:
    """Return the comparison of each metric.

    Args:
        sums: of both models, (bags, 2, k).
        values: returns the metrics of sums, (n, 2, k) → (n, 2).
        units: returns the number of units that a metric is measured on.
    """

    def better_by(drawn: Sums) -> Values:
        return {name: _better_by(name, found) for name, found in values(drawn).items()}

    whole = values(sums.sum(axis=0)[None])
    return {
        name: MetricComparison(
            value=float(whole[name][0, 0]),
            other=float(whole[name][0, 1]),
            difference=found.value,
            half_width=found.half_width if np.isfinite(found.half_width) else None,
            units=units(name),
        )
        for name, found in paired_differences(sums, better_by).items()
    }


def _better_by(metric: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the first model is better in a metric, (n, 2) → (n,)."""
    compared = np.abs(values) if metric in SIGNED else values
    sign = -1 if is_minimised(metric) else 1
    # a metric that was not measured of either is NaN
    with np.errstate(invalid="ignore"):
        return np.asarray(sign * (compared[:, 0] - compared[:, 1]))
