"""Figures for people: confusion matrix, calibration, learning curves, scatter of a regression."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from mlops_assets.datasets.quality.figures import png
from mlops_assets.models.evaluation.calibration import Calibration
from mlops_assets.text.figures import drawn

MAX_COUNTED = 24  # classes of a confusion matrix with its counts written in
LONG_COUNT = 100_000  # is written 100.0k
MAX_POINTS = 20_000  # of a scatter


def confusion_matrix(counts: NDArray[np.int64], names: list[str], title: str) -> bytes:
    """Return a PNG: share of each true class (rows) by predicted class.

    Counts are written in the cells if there are few classes.

    Args:
        counts: samples or pixels, (classes, classes), true classes in rows.
        names: names in the order of class indices.
        title: title of the figure.
    """
    with_counts = len(names) <= MAX_COUNTED
    side, font = (0.42, 8) if with_counts else (0.2, 7)
    figure = Figure(figsize=(max(4.5, side * len(names) + 2.5),) * 2, layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    labels = [drawn(name) for name in names]
    axes.set_xticks(range(len(names)), labels, rotation=90, fontsize=font)
    axes.set_yticks(range(len(names)), labels, fontsize=font)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    if not with_counts:
        figure.colorbar(image, ax=axes, shrink=0.5, label="share of the true class")
        return png(figure)
    short = EngFormatter(places=1, sep="")
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        value = int(counts[row, column])
        text = str(value) if value < LONG_COUNT else short(value)
        axes.text(column, row, text, ha="center", va="center", fontsize=7, color=colour)
    return png(figure)


def reliability(found: Calibration, title: str) -> bytes:
    """Return a PNG of a reliability diagram, above a histogram of the predicted probabilities."""
    figure = Figure(figsize=(5, 5.6), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    edges = np.linspace(0, 1, len(found.count) + 1)
    middle = (edges[1:] + edges[:-1]) / 2
    width = edges[1]
    held = found.count > 0
    upper.plot([0, 1], [0, 1], color="grey", linewidth=1, label="as its probabilities say")
    upper.bar(
        middle[held],
        found.accuracy[held],
        0.94 * width,
        color="#4477aa",
        alpha=0.6,
        label="measured",
    )
    upper.plot(found.confidence[held], found.accuracy[held], "o", color="#222255", markersize=4)
    upper.set(ylabel="share that is right", ylim=(0, 1), xlim=(0, 1), title=title)
    upper.text(
        0.03,
        0.8,
        f"expected calibration error {found.ece:.3f}",
        fontsize=9,
        transform=upper.transAxes,
    )
    upper.legend(loc="upper left", fontsize=8, frameon=False)
    upper.grid(alpha=0.3)
    lower.bar(middle, found.count, 0.94 * width, color="#999999")
    lower.set(xlabel="probability of the predicted class", ylabel="predictions")
    return png(figure)


def scatter(truth: NDArray[np.number], predicted: NDArray[np.number], title: str) -> bytes:
    """Return a PNG of predicted against true numbers.

    It has points, or for many samples their density on a logarithmic scale.

    Args:
        truth: (n,).
        predicted: (n,).
        title: title of the figure.
    """
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    if len(truth) > MAX_POINTS:
        axes.hexbin(truth, predicted, gridsize=80, bins="log", mincnt=1, cmap="Blues", linewidths=0)
    else:
        axes.plot(truth, predicted, ".", markersize=3, alpha=0.5)
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set(xlabel="true", ylabel="predicted", title=title)
    return png(figure)


def learning_curves(series: dict[str, list[tuple[int, float]]], title: str) -> bytes | None:
    """Return a PNG with one panel for losses and one for the rest, or None without any curve.

    Args:
        series: metric → [(step, value), …].
        title: title of the figure.
    """
    long = {name: points for name, points in series.items() if len(points) > 1}
    if not long:
        return None
    losses = [name for name in long if "loss" in name]
    panels = [panel for panel in (losses, [name for name in long if name not in losses]) if panel]
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for name in panel:
            axes.plot(*zip(*long[name], strict=True), label=drawn(name))
        axes.set(xlabel="step")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return png(figure)
