"""How a model version did on a day: its measures, from the functions that measure each of them.

Nothing is published here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import Hidden
from mlops_assets.models.applicability.document import read_document
from mlops_assets.models.reference.training import TrainingReference
from mlops_assets.monitoring.document import MappedArea, Outside, VersionDay
from mlops_assets.monitoring.drift import drift, quality, reference_of
from mlops_assets.monitoring.performance.dissimilarity import dissimilarity, outside_of
from mlops_assets.monitoring.performance.estimate import estimate
from mlops_assets.monitoring.performance.live import live_metrics
from mlops_assets.monitoring.rules import rules_of, unlike_training
from mlops_assets.monitoring.truth.stored import Truth
from mlops_assets.paths import (
    applicability_key,
    applicability_references_key,
    map_document_key,
    model_folder,
    reference_key,
)
from mlops_assets.registry import Map, ModelVersion
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.request_log.samples import LoggedSamples
from mlops_assets.serving.specification import Monitor
from mlops_assets.store import Store

# of the run of a version that the principal may not see
NOT_VISIBLE = "not visible"
QUANTILES = (50, 95, 99)


@dataclass(frozen=True)
class MeasuredVersion:
    """A version's day with what its figures are drawn from.

    Attributes:
        row: of the registry.
        day: its measures and rules.
        samples: that it predicted; None if there are none.
        di: dissimilarity index of each sample, (n,), NaN where it is not known; None if it has no
            area of applicability.
        threshold: above which a sample is outside; None if it has no area of applicability.
        trained: predictions of training samples by class; None if they are not known.
    """

    row: ModelVersion
    day: VersionDay
    samples: LoggedSamples | None = None
    di: NDArray[np.floating] | None = None
    threshold: float | None = None
    trained: Sequence[int] | None = None


@dataclass(frozen=True)
class LoggedDay:
    """What is known of a version on a day before it is measured.

    Attributes:
        row: of the registry.
        samples: that it predicted; None if there are none.
        truth: labels of the day; None if there are none.
        maps: of the day that it has made.
    """

    row: ModelVersion
    samples: LoggedSamples | None
    truth: Truth | None
    maps: Sequence[Map]


def measure_version_day(store: Store, logged: LoggedDay, monitor: Monitor) -> MeasuredVersion:
    """Measure how a model version did on a day.

    Args:
        store: workspace and registry.
        logged: what is known of the day.
        monitor: limits of the rules.

    Raises:
        IntegrityError: a file of the version is not as it was published.
        StorageError: one cannot be read.
    """
    row, samples = logged.row, logged.samples
    document = read_document(store, row)
    measured = None if document is None else document.measured
    threshold = None if measured is None else measured.threshold
    day = _identified(store, logged)
    if samples is None or not len(samples):
        test = None if measured is None or measured.test is None else measured.test.outside
        outside = Outside(test=test, unknown="no sample was logged")
        return _ruled(row, day.model_copy(update={"outside": outside}), monitor)
    signature = Signature.of(row)
    reference: TrainingReference | None = reference_of(store, row)
    di = dissimilarity(store, row, samples)
    drifted = None if reference is None else drift(reference, samples, signature)
    first = samples.rows == 0
    found = day.model_copy(
        update={
            "requests": int(first.sum()),
            "latency_ms": _latency(samples.latency_ms[first]),
            "quality": quality(reference, samples, signature),
            "outside": outside_of(store, row, samples, di),
            "drift": drifted,
            "live": live_metrics(store, row, samples, logged.truth),
            "estimate": estimate(store, row, samples, di, unlike_training(drifted, monitor)),
        }
    )
    ruled = _ruled(row, found, monitor)
    predictions = None if reference is None else reference.referred.predictions
    is_of_classes = predictions is not None and predictions.kind == "classes"
    trained = predictions.train if predictions is not None and is_of_classes else None
    return MeasuredVersion(row, ruled.day, samples, di, threshold, trained)


def metrics_on_test(row: ModelVersion) -> dict[str, float]:
    """Return the numeric metrics of a model version on its test split."""
    return {
        name: float(value)
        for name, value in row.metrics.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def input_keys(row: ModelVersion, maps: Sequence[Map]) -> list[str]:
    """Return the keys of what a version's day is made from, beside requests and labels.

    Args:
        row: the model version.
        maps: of the day that it has made.
    """
    name = (row.model, row.version)
    folder = model_folder(*name)
    return [
        f"{folder}/model.onnx",
        f"{folder}/metrics.json",
        applicability_key(*name),
        applicability_references_key(*name),
        reference_key(*name),
        reference_key(*name, "reference.parquet"),
        *(map_document_key(*name, own.name) for own in maps),
    ]


def _ruled(row: ModelVersion, day: VersionDay, monitor: Monitor) -> MeasuredVersion:
    rules = rules_of(day, monitor, metrics_on_test(row))
    return MeasuredVersion(row, day.model_copy(update={"rules": rules}))


def _identified(store: Store, logged: LoggedDay) -> VersionDay:
    """Return the version with its run, code and maps, and nothing measured."""
    row = logged.row
    try:
        code = store.registry.run_of(row).code_version
    except Hidden:
        code = NOT_VISIBLE
    onnx = store.registry.files_at(f"{model_folder(row.model, row.version)}/model.onnx")
    maps = [
        MappedArea(name=own.name, area=own.area, outside=own.outside)
        for own in sorted(logged.maps, key=lambda own: own.name)
    ]
    return VersionDay(
        version=row.version,
        data_version=f"{row.dataset}@{row.data_version}",
        run_id=row.run_id,
        code_version=code,
        onnx=onnx[0].sha256 if onnx else "",
        requests=0,
        maps=maps,
    )


def _latency(milliseconds: NDArray[np.float32]) -> dict[str, float]:
    # of predictions that were logged by a client it is 0, as it is not known
    known = milliseconds[np.isfinite(milliseconds) & (milliseconds > 0)]
    if not len(known):
        return {}
    values = np.percentile(known.astype(np.float64), QUANTILES)
    return {f"p{share}": float(value) for share, value in zip(QUANTILES, values, strict=True)}
