"""The choice of figures of a version's day, and what each is drawn from."""

from __future__ import annotations

from collections.abc import Sequence

from mlops_assets.monitoring.document import VersionDay
from mlops_assets.monitoring.report.figures import (
    MetricDay,
    class_shares,
    dissimilarity_histogram,
    drift_bars,
    metric_history,
    number_histogram,
)
from mlops_assets.monitoring.rules import applied_limits, headline_of
from mlops_assets.monitoring.version_day import MeasuredVersion, metrics_on_test
from mlops_assets.registry.model_documents import Signature
from mlops_assets.serving.specification import Monitor


def draw_figures(
    measured: MeasuredVersion, monitor: Monitor, history: Sequence[MetricDay]
) -> dict[str, bytes]:
    """Return name → PNG of the figures of a version's day, as `CAPTIONS` has them.

    Args:
        measured: the version's day.
        monitor: limits of the rules, drawn as lines where they are applied.
        history: of its metric over the last days, oldest first.
    """
    day = measured.day
    metric = headline_of(metrics_on_test(measured.row)) or ""
    limits = applied_limits(day, monitor, "max_drift")
    found = {
        "metric": metric_history(metric, history),
        "applicability": _distances(measured),
        "drift": None if day.drift is None else drift_bars(day.drift, limits),
        "predictions": _predictions(measured),
    }
    return {name: png for name, png in found.items() if png is not None}


def metric_day(day: str, version: VersionDay | None, tests: dict[str, float]) -> MetricDay:
    """Return the metric of a day as its figure has it.

    Args:
        day: `YYYY-MM-DD`.
        version: that had most requests; None without any.
        tests: its metrics on the test split.
    """
    metric = headline_of(tests)
    if version is None or metric is None:
        return MetricDay(day, None, None, None)
    estimate = version.estimate
    is_of_metric = estimate is not None and estimate.metric == metric
    return MetricDay(
        day,
        live=None if version.live is None else version.live.metrics.get(metric),
        estimated=estimate.value if estimate is not None and is_of_metric else None,
        test=tests[metric],
    )


def _distances(measured: MeasuredVersion) -> bytes | None:
    if measured.di is None or measured.threshold is None:
        return None
    return dissimilarity_histogram(measured.di, measured.threshold)


def _predictions(measured: MeasuredVersion) -> bytes | None:
    samples = measured.samples
    if samples is None:
        return None
    if samples.numbers is not None:
        return number_histogram(samples.numbers)
    if samples.labels is None:
        return None
    classes = Signature.of(measured.row).classes or []
    labels = samples.labels
    if samples.scores is not None and not (labels >= 0).any():
        # of windows, the class with the highest mean score
        labels = samples.scores.argmax(axis=1).astype(labels.dtype)
    return class_shares([own.name for own in classes], labels, measured.trained)
