"""Measurements on a split, by task, batch by batch.

Memory grows with neither the split nor its pixels. Nothing here depends on models, files or data
versions; formulae are in `metrics`, intervals in `bootstrap`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.errors import EvaluationError
from mlops_assets.models.evaluation.bootstrap import Interval, bags, held_units, intervals
from mlops_assets.models.evaluation.calibration import (
    Calibration,
    CalibrationTally,
    Scores,
    many_calibrations,
)
from mlops_assets.models.evaluation.metrics import class_metrics, many_class_metrics
from mlops_assets.models.evaluation.slices import MIN_SAMPLES, MIN_VALUES, Grouping

if TYPE_CHECKING:
    from scipy.sparse import csr_array

NOTHING = "it has no labelled sample; land more data or change 'split', and train again"


@dataclass(frozen=True)
class Evaluation:
    """The measurements of a model version on a split.

    Attributes:
        metrics: metric → number.
        per_class: one row a class: class, samples, precision, recall, f1, iou; empty for
            regression.
        confusion: counts, rows true, columns predicted; None for regression.
        intervals: metric → lower and upper end of its 95 % confidence interval; empty if there are
            too few units.
        unit: name of the independent units that intervals are resampled from.
        units: number of these units.
        calibration: calibration of the probabilities; None where the model has none.
        slices: for each division of the samples, one row a part, worst first: value, samples, and
            metrics.
        numbers: of a regression, truth and prediction, (2, n).
    """

    metrics: dict[str, float]
    per_class: pd.DataFrame
    confusion: NDArray[np.int64] | None
    intervals: dict[str, Interval] = field(default_factory=dict)
    unit: str = "samples"
    units: int = 0
    calibration: Calibration | None = None
    slices: dict[str, pd.DataFrame] = field(default_factory=dict)
    numbers: NDArray[np.float64] | None = None

    @property
    def unmeasured(self) -> list[str]:
        """Classes without a test sample, which no metric is of."""
        if self.per_class.empty:
            return []
        names: list[str] = self.per_class.loc[self.per_class["samples"] == 0, "class"].tolist()
        return names


class ClassTally:
    """Counts truth against prediction: as a whole, unit by unit, and slice by slice.

    Args:
        class_names: names in the order of class indices.
        units: the independent units of the split's samples.
        slices: divisions of the samples that are counted apart.
        scores: whether scores are probabilities or logits; calibration is measured only if that
            is known.
    """

    def __init__(
        self,
        class_names: list[str],
        units: Grouping,
        slices: Sequence[Grouping] = (),
        scores: Scores | None = None,
    ) -> None:
        self._names = class_names
        self._units = units
        self._slices = slices
        self._codes = bags(units.codes)
        self._count = int(self._codes.max()) + 1 if len(self._codes) else 0
        # (units, classes²), and (values, classes²) of each slice; None before the first samples
        self._unit_cells: csr_array | None = None
        self._slice_cells: list[csr_array | None] = [None for _ in slices]
        self._scores = scores
        self._calibration: CalibrationTally | None = None

    def add(
        self,
        start: int,
        truth: NDArray[np.int64],
        predicted: NDArray[np.number],
        scores: NDArray[np.number] | None = None,
    ) -> None:
        """Count some samples.

        Args:
            start: position of the first of them in the split; the others follow it.
            truth: class indices, (n,) or (n, height, width), -1 where unknown.
            predicted: class indices of the same shape; any number where the truth is unknown.
            scores: of each class, (n, classes) or (n, classes, height, width).
        """
        known = truth >= 0
        sample = start + np.nonzero(known)[0]
        if not len(sample):
            return
        true = truth[known].astype(np.int64)
        given = predicted[known].astype(np.int64)
        cells = true * len(self._names) + given
        size = len(self._names) ** 2
        units = self._codes[sample]
        self._unit_cells = _sum(self._unit_cells, _counts(units, cells, (self._count, size)))
        for number, grouping in enumerate(self._slices):
            codes = grouping.codes[sample]
            inside = codes >= 0
            found = _counts(codes[inside], cells[inside], (len(grouping.values), size))
            self._slice_cells[number] = _sum(self._slice_cells[number], found)
        if scores is not None and self._scores:
            self._calibration = self._calibration or CalibrationTally(self._count, self._scores)
            self._calibration.add(np.moveaxis(scores, 1, -1)[known], given, true, units)

    def result(self) -> Evaluation:
        """Return the measurements of all samples so far.

        Raises:
            EvaluationError: nothing was counted.
        """
        if self._unit_cells is None:
            raise EvaluationError(NOTHING)
        shape = (-1, len(self._names), len(self._names))
        confusion = np.asarray(self._unit_cells.sum(axis=0)).reshape(shape)[0]
        metrics, per_class = class_metrics(confusion, self._names)
        found = intervals(self._unit_cells, lambda cells: many_class_metrics(cells.reshape(shape)))
        calibrated = self._calibration.result() if self._calibration else None
        if calibrated:
            calibration, sums = calibrated
            metrics |= {"ece": calibration.ece, "brier": calibration.brier}
            found |= intervals(sums, lambda drawn: many_calibrations(drawn, calibration.confidence))
        slices = {
            grouping.name: _class_slices(grouping, counts, shape)
            for grouping, counts in zip(self._slices, self._slice_cells, strict=True)
        }
        return Evaluation(
            metrics,
            per_class,
            confusion,
            found,
            self._units.name,
            held_units(self._unit_cells),
            calibrated[0] if calibrated else None,
            {name: table for name, table in slices.items() if len(table) >= MIN_VALUES},
        )


def measure_numbers(
    truth: NDArray[np.float64],
    predicted: NDArray[np.float64],
    units: Grouping,
    slices: Sequence[Grouping] = (),
) -> Evaluation:
    """Measure a regression.

    The metrics are rmse, mae, r2 and bias (mean of predicted - true), with scikit-learn's formulae.

    Args:
        truth: (n,), in the order of the split.
        predicted: (n,).
        units: the independent units of the samples.
        slices: divisions of the samples that are measured apart.

    Raises:
        EvaluationError: there is no sample.
    """
    if not len(truth):
        raise EvaluationError(NOTHING)
    codes = bags(units.codes)
    sums = _regression_sums(truth, predicted, codes, int(codes.max()) + 1)
    tables = {}
    for grouping in slices:
        inside = grouping.codes >= 0
        own = _regression_sums(
            truth[inside], predicted[inside], grouping.codes[inside], len(grouping.values)
        )
        tables[grouping.name] = _slice_table(
            grouping, own[:, 0].astype(np.int64), many_number_metrics(own)
        )
    return Evaluation(
        number_metrics(truth, predicted),
        pd.DataFrame(),
        None,
        intervals(sums, many_number_metrics),
        units.name,
        held_units(sums),
        slices={name: table for name, table in tables.items() if len(table) >= MIN_VALUES},
        numbers=np.stack([truth, predicted]),
    )


def number_metrics(truth: NDArray[np.float64], predicted: NDArray[np.float64]) -> dict[str, float]:
    """Return rmse, mae, r2 and bias, with scikit-learn's formulae.

    Args:
        truth: (n,), n ≥ 1.
        predicted: (n,).
    """
    from sklearn import metrics as formulae

    return {
        "rmse": float(formulae.root_mean_squared_error(truth, predicted)),
        "mae": float(formulae.mean_absolute_error(truth, predicted)),
        "r2": float(formulae.r2_score(truth, predicted)) if len(truth) > 1 else 0.0,
        "bias": float(np.mean(predicted - truth)),
    }


def many_number_metrics(sums: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Return the same metrics for each of many sums.

    Args:
        sums: count, errors, squared and absolute errors, truth and its square, (n, 6).

    Returns:
        (n,) for each metric; NaN where it was not measured.
    """
    count, error, squared, absolute, true, true_squared = sums.T
    with np.errstate(invalid="ignore", divide="ignore"):
        spread = true_squared - true**2 / count
        return {
            "rmse": np.sqrt(squared / count),
            "mae": absolute / count,
            "r2": np.where(spread > 0, 1 - squared / spread, np.nan),
            "bias": error / count,
        }


def evaluate(
    truth: NDArray[np.number], predicted: NDArray[np.number], task: str, class_names: list[str]
) -> Evaluation:
    """Measure predictions that are held in memory, every sample being independent.

    Args:
        truth: class indices (n,) or (n, h, w) with -1 where unknown, or numbers (n,).
        predicted: the same shape.
        task: the model's task.
        class_names: names in the order of class indices.
    """
    units = Grouping("samples", [], np.arange(len(truth)))
    if task == "regression":
        return measure_numbers(truth.astype(np.float64), predicted.astype(np.float64), units)
    tally = ClassTally(class_names, units)
    tally.add(0, truth.astype(np.int64), predicted)
    return tally.result()


def _regression_sums(
    truth: NDArray[np.float64], predicted: NDArray[np.float64], codes: NDArray[np.int64], parts: int
) -> NDArray[np.float64]:
    error = predicted - truth
    # centred, as squares of large numbers lose the digits in which they differ
    centred = truth - truth.mean()
    columns = (None, error, error**2, np.abs(error), centred, centred**2)
    return np.stack(
        [np.bincount(codes, column, minlength=parts).astype(np.float64) for column in columns],
        axis=1,
    )


def _sum(one: csr_array | None, other: csr_array) -> csr_array:
    return other if one is None else one + other


def _counts(
    codes: NDArray[np.int64], cells: NDArray[np.int64], shape: tuple[int, int]
) -> csr_array:
    """Count pairs of part and cell, as a sparse array: most cells of most parts are empty."""
    from scipy.sparse import coo_array

    return coo_array((np.ones(len(cells), dtype=np.int64), (codes, cells)), shape=shape).tocsr()


def _class_slices(
    grouping: Grouping, counts: csr_array, shape: tuple[int, int, int]
) -> pd.DataFrame:
    found = [
        many_class_metrics(counts[[part]].toarray().reshape(shape))
        for part in range(len(grouping.values))
    ]
    metrics = {name: np.concatenate([part[name] for part in found]) for name in found[0]}
    return _slice_table(grouping, np.asarray(counts.sum(axis=1)), metrics)


def _slice_table(
    grouping: Grouping, samples: NDArray[np.int64], metrics: dict[str, NDArray[np.float64]]
) -> pd.DataFrame:
    """Return one row for each part with enough samples, worst accuracy or rmse first."""
    table = pd.DataFrame({"value": grouping.values, "samples": samples, **metrics})[
        samples >= MIN_SAMPLES
    ]
    worst = ["rmse", False] if "rmse" in metrics else ["accuracy", True]
    return table.sort_values(str(worst[0]), ascending=bool(worst[1]), kind="stable").reset_index(
        drop=True
    )
