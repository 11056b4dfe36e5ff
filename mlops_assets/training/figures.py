"""Figures that people look at: confusion matrix, learning curves, scatter of a regression."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray


def confusion_matrix(counts: NDArray[np.int64], names: list[str], title: str) -> bytes:
    """Return a PNG: share of each true class (rows) by predicted class, with counts."""
    side = max(4.5, 0.42 * len(names) + 2.5)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.subplots()
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.set(xlabel="predicted", ylabel="true", title=title)
    for row, column in zip(*np.nonzero(counts), strict=True):
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, str(counts[row, column]), ha="center", va="center", fontsize=7, color=colour)
    return _png(figure)


def scatter(truth: NDArray[Any], predicted: NDArray[Any], title: str) -> bytes:
    """Return a PNG of predicted against true numbers."""
    figure = Figure(figsize=(5, 5), layout="constrained")
    axes = figure.subplots()
    axes.plot(truth, predicted, ".", markersize=3, alpha=0.5)
    ends = [float(min(truth.min(), predicted.min())), float(max(truth.max(), predicted.max()))]
    axes.plot(ends, ends, color="grey", linewidth=1)
    axes.set(xlabel="true", ylabel="predicted", title=title)
    return _png(figure)


def learning_curves(series: dict[str, list[tuple[int, float]]], title: str) -> bytes | None:
    """Return a PNG with one panel a unit (losses, the rest), or None if no series has two points."""
    long = {name: points for name, points in series.items() if len(points) > 1}
    if not long:
        return None
    losses = [name for name in long if "loss" in name]
    panels = [panel for panel in (losses, [name for name in long if name not in losses]) if panel]
    figure = Figure(figsize=(4.5 * len(panels), 3.2), layout="constrained")
    for axes, panel in zip(np.atleast_1d(figure.subplots(1, len(panels))), panels, strict=True):
        for name in panel:
            axes.plot(*zip(*long[name], strict=True), label=name)
        axes.set(xlabel="step")
        axes.legend(fontsize=8)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return _png(figure)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100, metadata={"Software": None})
    return buffer.getvalue()
