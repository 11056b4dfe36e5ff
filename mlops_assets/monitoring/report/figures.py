"""Figures of a monitored day.

They show the drift of features, the distances to training samples, the metric over the last days,
and the shares of predictions. Each is a PNG as small as those of the quality report, as it goes
into the events of Dagster. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from mlops_assets.datasets.quality.figures import png
from mlops_assets.monitoring.document import Drift, Interval
from mlops_assets.text.figures import drawn

# Tol's bright scheme, safe for colour-blind
DAY = "#4477aa"
TEST = "#ee6677"
ESTIMATED = "#ccbb44"
TRAINED = "#bbbbbb"
LIMIT = "#aa3377"
MAX_FEATURES = 15
MAX_CLASSES = 30
MAX_STEPS = 60  # of histograms
_MAX_NAME = 28


@dataclass(frozen=True)
class MetricDay:
    """The metric of a version on a day.

    Attributes:
        day: `YYYY-MM-DD`.
        live: of samples with labels; None without any.
        estimated: without labels; None if it could not be.
        test: of the test split of that day's version; None if it has none.
    """

    day: str
    live: Interval | None
    estimated: Interval | None
    test: float | None


def drift_bars(found: Drift, limits: Sequence[float]) -> bytes | None:
    """Return a PNG of the features that have drifted most, beside the test split; None if none.

    Args:
        found: drift of the day and of the test split.
        limits: of the population stability index.
    """
    features = found.day.features[:MAX_FEATURES][::-1]
    if not features:
        return None
    test = {} if found.test is None else {own.name: own.psi for own in found.test.features}
    figure = Figure(figsize=(7, 1.3 + 0.3 * len(features)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(features))
    axes.barh(places + 0.2, [own.psi for own in features], 0.4, color=DAY, label="the day")
    if test:
        values = [test.get(own.name, 0.0) for own in features]
        axes.barh(places - 0.2, values, 0.4, color=TEST, label="test split")
    for limit in limits:
        axes.axvline(limit, color=LIMIT, linestyle="--", linewidth=1)
    axes.set_yticks(places, [_short(own.name) for own in features], fontsize=8)
    more = len(found.day.features) - len(features)
    some = f", the {len(features)} largest of {len(found.day.features)}" if more else ""
    axes.set(xlabel=f"population stability index{some}", ylim=(-0.6, len(features) - 0.4))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return png(figure)


def dissimilarity_histogram(di: NDArray[np.floating], threshold: float) -> bytes | None:
    """Return a PNG of dissimilarity indices beside the threshold; None if none is known.

    Args:
        di: index of each sample, (n,), NaN where it is not known.
        threshold: above which a sample is outside the area of applicability.
    """
    known = di[np.isfinite(di)]
    if not len(known):
        return None
    largest = max(float(np.quantile(known, 0.995)), 1.5 * threshold, 1e-6)
    edges = np.linspace(0, largest, MAX_STEPS + 1)
    counts, _ = np.histogram(np.clip(known, 0, largest), edges)
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    axes.stairs(counts, edges, fill=True, color=DAY)
    axes.axvline(threshold, color=LIMIT, linestyle="--", linewidth=1.2)
    axes.text(threshold, 1.02, f"threshold {threshold:.3g}", transform=axes.get_xaxis_transform())
    axes.set(xlabel="dissimilarity to training samples (DI)", ylabel="samples", xlim=(0, largest))
    axes.grid(alpha=0.3)
    return png(figure)


def metric_history(name: str, days: Sequence[MetricDay]) -> bytes | None:
    """Return a PNG of a metric over days; None if no day has any.

    Args:
        name: of the metric.
        days: oldest first.
    """
    if not any(own.live or own.estimated for own in days):
        return None
    figure = Figure(figsize=(7, 3.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(days))
    values = [np.nan if own.test is None else own.test for own in days]
    axes.step(places, values, where="mid", color=TEST, label="test split", linewidth=1.2)
    # beside each other, so that both are seen
    series: list[tuple[str, str, float, list[Interval | None]]] = [
        ("estimated, without labels", ESTIMATED, 0.15, [own.estimated for own in days]),
        ("live", DAY, -0.15, [own.live for own in days]),
    ]
    for label, colour, beside, found in series:
        known = [(place, own) for place, own in zip(places, found, strict=True) if own is not None]
        if not known:
            continue
        where = [place + beside for place, _ in known]
        value = np.array([own.value for _, own in known])
        lower = np.array([own.value if own.lower is None else own.lower for _, own in known])
        upper = np.array([own.value if own.upper is None else own.upper for _, own in known])
        errors = np.abs(np.stack([value - lower, upper - value]))
        axes.errorbar(
            where, value, errors, color=colour, fmt="o", markersize=4, label=label, linewidth=1
        )
    ticks = places[:: max(1, len(days) // 8)]
    axes.set_xticks(ticks, [days[tick].day[5:] for tick in ticks], fontsize=8)
    axes.set(ylabel=drawn(name), xlabel="day (UTC)", xlim=(-0.5, len(days) - 0.5))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3, fontsize=8, frameon=False)
    return png(figure)


def class_shares(
    names: Sequence[str], labels: NDArray[np.int32], trained: Sequence[int] | None = None
) -> bytes | None:
    """Return a PNG of the share of each predicted class; None without a prediction.

    Args:
        names: of the classes.
        labels: predicted class index of each sample, (n,), -1 where there is none.
        trained: predictions of training samples by class, drawn beside them.
    """
    known = labels[(labels >= 0) & (labels < len(names))]
    if not len(known):
        return None
    shares = np.bincount(known, minlength=len(names)) / len(known)
    order = np.argsort(-shares, kind="stable")[:MAX_CLASSES][::-1]
    figure = Figure(figsize=(7, 1.3 + 0.32 * len(order)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(order))
    axes.barh(places + 0.2, shares[order], 0.4, color=DAY, label="the day")
    if trained is not None and len(trained) == len(names) and sum(trained) > 0:
        before = np.array(trained) / sum(trained)
        axes.barh(places - 0.2, before[order], 0.4, color=TRAINED, label="training samples")
    axes.set_yticks(places, [_short(names[place]) for place in order], fontsize=8)
    some = f", the {len(order)} largest of {len(names)}" if len(order) < len(names) else ""
    axes.set(xlabel=f"share of predictions{some}", ylim=(-0.6, len(order) - 0.4))
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=2, fontsize=8, frameon=False)
    return png(figure)


def number_histogram(numbers: NDArray[np.float32]) -> bytes | None:
    """Return a PNG of predicted numbers; None if none is finite.

    Args:
        numbers: (n,).
    """
    known = numbers[np.isfinite(numbers)]
    if not len(known):
        return None
    figure = Figure(figsize=(7, 3), layout="constrained")
    axes = figure.subplots()
    low, high = float(known.min()), float(known.max())
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        # all equal, as far as is drawn: one bar in the middle
        margin = 0.01 * max(abs(low), abs(high), 1.0)
        low, high = low - margin, high + margin
    counts, edges = np.histogram(known.astype(np.float64), MAX_STEPS, (low, high))
    axes.stairs(counts, edges, fill=True, color=DAY)
    axes.set(xlabel="prediction", ylabel="samples")
    axes.grid(alpha=0.3)
    return png(figure)


def _short(text: str) -> str:
    """Leave out the middle of a long name."""
    half = _MAX_NAME // 2
    return drawn(text if len(text) <= _MAX_NAME else f"{text[: half - 1]}…{text[-half:]}")
