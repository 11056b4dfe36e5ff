"""Live metrics: those of evaluation, of logged samples that have labels, with intervals.

The samples of a request are drawn together, as they are alike: the unit of the bootstrap is the
request.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.models.evaluation.bootstrap import Interval as Ends
from mlops_assets.models.evaluation.bootstrap import bags, intervals
from mlops_assets.models.evaluation.calibration import Scores
from mlops_assets.models.evaluation.metrics import single_class_metrics
from mlops_assets.models.evaluation.slices import MAX_VALUES, MIN_SAMPLES, Grouping
from mlops_assets.models.evaluation.tally import ClassTally, Evaluation, measure_numbers
from mlops_assets.models.specification import SINGLE_CLASS_METRICS
from mlops_assets.monitoring.document import Interval, Live
from mlops_assets.monitoring.performance.scores import kind_of
from mlops_assets.monitoring.truth.stored import Truth
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_metrics
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.store import Store


def live_metrics(
    store: Store, row: ModelVersion, samples: LoggedSamples, truth: Truth | None
) -> Live | None:
    """Measure a model version on the logged samples that have labels.

    Metrics of single classes are named as in gates, such as `recall.wheat`. A label that is none of
    the version's classes is left out.

    Args:
        store: workspace and registry.
        row: the model version that has predicted the samples.
        samples: logged.
        truth: labels of the requests of that day.

    Returns:
        The metrics beside those of the test split; None if fewer than `MIN_SAMPLES` samples have a
        label.

    Raises:
        IntegrityError: `metrics.json` or `model.onnx` is not as it was published.
    """
    if truth is None or not len(samples):
        return None
    classes = Signature.of(row).classes
    names = None if classes is None else [entry.name for entry in classes]
    measured = _Labelled.of(samples, truth, names)
    if len(measured) < MIN_SAMPLES:
        return None
    scores = None if names is None else kind_of(store, row)
    slices = {
        column: {
            value: _intervals(
                measured.where(chosen).evaluate(names, None), int(np.count_nonzero(chosen))
            )
            for value, chosen in _parts(values)
        }
        for column, values in measured.slices.items()
    }
    return Live(
        samples=len(measured),
        total=len(samples),
        metrics=_intervals(measured.evaluate(names, scores), len(measured)),
        test=_test_metrics(store, row),
        slices={column: parts for column, parts in slices.items() if parts},
    )


class _Labelled:
    """Samples that have a label: truth and prediction, class indices or numbers, each (n,).

    Attributes:
        slices: column → values, (n,), text, None where there is none.
    """

    def __init__(
        self,
        truth: NDArray[np.int64] | NDArray[np.float64],
        predicted: NDArray[np.int64] | NDArray[np.float64],
        units: NDArray[np.int64],
        scores: NDArray[np.float32] | None,
        slices: Mapping[str, NDArray[np.object_]],
    ) -> None:
        self._truth, self._predicted, self._units = truth, predicted, units
        self._scores = scores
        self.slices = slices

    @classmethod
    def of(cls, samples: LoggedSamples, truth: Truth, names: list[str] | None) -> _Labelled:
        """Return the samples that have a label which the model version knows, and a prediction."""
        found = truth.positions(samples)
        units = pd.factorize(samples.requests)[0].astype(np.int64)
        if names is None:
            given = samples.numbers
            predicted = np.full(len(samples), np.nan) if given is None else given
            values = np.where(found >= 0, truth.numbers[found], np.nan)
            usable = np.isfinite(values) & np.isfinite(predicted)
            true: NDArray[np.int64] | NDArray[np.float64] = values[usable]
            own: NDArray[np.int64] | NDArray[np.float64] = predicted[usable].astype(np.float64)
        else:
            labels = samples.labels
            decided = np.full(len(samples), -1) if labels is None else labels.astype(np.int64)
            codes = pd.Index(names).get_indexer(pd.Index(truth.labels))[found].astype(np.int64)
            usable = (found >= 0) & (codes >= 0) & (decided >= 0) & (decided < len(names))
            true, own = codes[usable], decided[usable]
        slices = {name: values[found[usable]] for name, values in truth.slices.items()}
        scores = None if samples.scores is None else samples.scores[usable]
        return cls(true, own, units[usable], scores, slices)

    def __len__(self) -> int:
        return len(self._truth)

    def where(self, chosen: NDArray[np.bool_]) -> _Labelled:
        """Return some of the samples, without their slices."""
        scores = None if self._scores is None else self._scores[chosen]
        return _Labelled(
            self._truth[chosen], self._predicted[chosen], self._units[chosen], scores, {}
        )

    def evaluate(self, names: list[str] | None, kind: Scores | None) -> Evaluation:
        """Measure them, as the test split is measured.

        Args:
            names: of the classes; None for regression.
            kind: of the scores; calibration is measured only if it is known.
        """
        units = Grouping("requests", [], pd.factorize(self._units)[0].astype(np.int64))
        if names is None:
            return measure_numbers(
                self._truth.astype(np.float64), self._predicted.astype(np.float64), units
            )
        finite = self._scores is not None and bool(np.isfinite(self._scores).all())
        tally = ClassTally(names, units, scores=kind if finite else None)
        truth, predicted = self._truth.astype(np.int64), self._predicted.astype(np.int64)
        tally.add(0, truth, predicted, self._scores if finite else None)
        found = tally.result()
        metrics, ends = _single_classes(truth, predicted, bags(units.codes), names)
        return replace(found, metrics=found.metrics | metrics, intervals=found.intervals | ends)


def _single_classes(
    truth: NDArray[np.int64],
    predicted: NDArray[np.int64],
    codes: NDArray[np.int64],
    names: list[str],
) -> tuple[dict[str, float], dict[str, Ends]]:
    """Return metrics of the classes that have samples, with intervals."""
    from scipy.sparse import coo_array

    classes = len(names)
    units = int(codes.max()) + 1
    right = truth == predicted
    # of each unit: samples of a class that are right, that are of it, that are predicted as it
    cells = np.concatenate([truth[right], truth + classes, predicted + 2 * classes])
    of = np.concatenate([codes[right], codes, codes])
    ones = np.ones(len(cells), dtype=np.int64)
    sums = coo_array((ones, (of, cells)), shape=(units, 3 * classes)).tocsr()

    def measure(drawn: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        parts = drawn.reshape(-1, 3, classes)
        found = single_class_metrics(parts[:, 0], parts[:, 1], parts[:, 2])
        return {
            f"{metric}.{name}": values[:, number]
            for metric, values in found.items()
            for number, name in enumerate(names)
        }

    whole = measure(np.asarray(sums.sum(axis=0), dtype=np.float64)[None])
    metrics = {name: float(values[0]) for name, values in whole.items() if np.isfinite(values[0])}
    ends = intervals(sums, measure)
    return metrics, {name: ends[name] for name in metrics if name in ends}


def _parts(values: NDArray[np.object_]) -> list[tuple[str, NDArray[np.bool_]]]:
    """Return the values of a column with enough samples each; none if there are too many values."""
    counts = pd.Series(values, dtype=object).value_counts()
    enough = sorted(str(value) for value in counts.index[counts >= MIN_SAMPLES])
    if len(enough) > MAX_VALUES:
        return []
    return [(value, np.asarray(values == value, dtype=bool)) for value in enough]


def _intervals(found: Evaluation, samples: int) -> dict[str, Interval]:
    """Return the metrics of a document."""
    return {
        name: Interval(
            value=value,
            lower=None if name not in found.intervals else found.intervals[name][0],
            upper=None if name not in found.intervals else found.intervals[name][1],
            samples=samples,
        )
        for name, value in found.metrics.items()
    }


def _test_metrics(store: Store, row: ModelVersion) -> dict[str, float]:
    """Return the metrics of the test split, those of single classes as in gates."""
    found = {name: float(value) for name, value in row.metrics.items()}
    published = published_metrics(store.workspace, store.registry, row.model, row.version)
    for entry in () if published is None else published.per_class:
        if entry.samples:
            values = {name: getattr(entry, name) for name in SINGLE_CLASS_METRICS}
            found |= {
                f"{name}.{entry.name}": float(value)
                for name, value in values.items()
                if value is not None
            }
    return found
