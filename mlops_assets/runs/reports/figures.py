"""Figures of a comparison.

They are overlaid curves, confusion matrices side by side, and metrics as a table.
"""

from __future__ import annotations

import io
import math
import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure, SubFigure

from mlops_assets.runs.comparison import ComparedRun, Comparison, Confusion
from mlops_assets.runs.reports.formatting import (
    MEASURED_ON,
    NOT_MEASURED,
    delta,
    interval,
    number,
)

if TYPE_CHECKING:
    from matplotlib.lines import Line2D

# panels at most, those of the metrics that most runs have
CURVES = 12
# of a curve that are drawn
POINTS = 2_000
# with more, the counts in a matrix are not legible
CLASSES_WITH_COUNTS = 20
TABLE_METRICS = 14
_PANEL = (4.2, 2.7)
_MATRIX = 4.0
# characters of a notice that fit an inch
_PER_INCH = 14


def drawn(comparison: Comparison) -> dict[str, bytes]:
    """Return name → PNG: `curves` and `confusion`, where the runs have them."""
    found = {}
    if names := curve_names(comparison):
        rows = math.ceil(len(names) / 3)
        figure = _figure(max(2, min(3, len(names))) * _PANEL[0], rows * _PANEL[1] + 0.5)
        _draw_curves(figure, comparison, names)
        found["curves"] = _png(figure)
    if matrices := _matrices(comparison):
        figure = _figure(
            min(4, len(matrices)) * _MATRIX, math.ceil(len(matrices) / 4) * (_MATRIX + 0.3)
        )
        _draw_confusion(figure, matrices)
        found["confusion"] = _png(figure)
    return found


def overview(comparison: Comparison) -> bytes:
    """Return curves, matrices and a table of metrics as one PNG."""
    names = curve_names(comparison)
    matrices = _matrices(comparison)
    metrics = min(len(comparison.metrics), TABLE_METRICS)
    heights = [0.3 + 0.21 * (metrics + 3)]
    if names:
        heights.append(math.ceil(len(names) / 3) * _PANEL[1] + 0.5)
    if matrices:
        heights.append(math.ceil(len(matrices) / 4) * (_MATRIX + 0.3))
    width = max(
        9.0,
        min(3, len(names)) * _PANEL[0],
        min(4, len(matrices)) * _MATRIX,
        2.5 + (3 if comparison.on else 2) * len(comparison.runs),
    )
    lines = [
        line
        for notice in comparison.notices
        for line in textwrap.wrap(notice, int(width * _PER_INCH))
    ]
    if lines:
        heights.insert(0, 0.1 + 0.18 * len(lines))
    figure = _figure(width, sum(heights))
    parts = list(figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False).ravel())
    if lines:
        parts.pop(0).text(
            0.01, 0.5, "\n".join(lines), fontsize=9, verticalalignment="center", parse_math=False
        )
    _draw_table(parts.pop(0), comparison)
    if names:
        _draw_curves(parts.pop(0), comparison, names)
    if matrices:
        _draw_confusion(parts.pop(0), matrices)
    return _png(figure)


def curve_names(comparison: Comparison) -> list[str]:
    """Return the metrics that were logged more than once, those of most runs first."""
    counts: dict[str, int] = {}
    for compared in comparison.runs:
        for name, points in compared.series.items():
            if len(points) > 1:
                counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: -counts[name])[:CURVES]


def _draw_curves(figure: Figure | SubFigure, comparison: Comparison, names: list[str]) -> None:
    columns = min(3, len(names))
    grid = np.atleast_1d(figure.subplots(math.ceil(len(names) / columns), columns)).ravel()
    for axes, name in zip(grid, names, strict=False):
        for index, compared in enumerate(comparison.runs):
            points = np.asarray(compared.series.get(name, []), dtype=float).reshape(-1, 2)
            steps, values = points[:: max(1, len(points) // POINTS)].T
            axes.plot(
                steps,
                values,
                color=_colour(index),
                marker="." if len(steps) == 1 else None,
                linewidth=1.4,
            )
        axes.set_title(name, fontsize=9, parse_math=False)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in grid[len(names) :]:
        axes.set_axis_off()
    lines = [_line(index) for index in range(len(comparison.runs))]
    labels = [
        f"{each.short}  {each.run.model} on {each.run.data_version}" for each in comparison.runs
    ]
    legend = figure.legend(
        lines, labels, loc="outside upper left", ncols=3, fontsize=8, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)


def _matrices(comparison: Comparison) -> list[tuple[ComparedRun, Confusion]]:
    return [(compared, compared.confusion) for compared in comparison.runs if compared.confusion]


def _draw_confusion(
    figure: Figure | SubFigure, matrices: list[tuple[ComparedRun, Confusion]]
) -> None:
    columns = min(4, len(matrices))
    grid = np.atleast_1d(figure.subplots(math.ceil(len(matrices) / columns), columns)).ravel()
    for axes, (compared, confusion) in zip(grid, matrices, strict=False):
        counts = np.asarray(confusion.counts)
        classes = confusion.classes
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
        size = 8 if len(classes) <= 10 else 6
        names = [name if len(name) <= 16 else f"{name[:15]}…" for name in classes]
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize=size, parse_math=False)
        axes.set_yticks(range(len(names)), names, fontsize=size, parse_math=False)
        axes.set_xlabel("predicted", fontsize=8)
        axes.set_ylabel("true", fontsize=8)
        axes.set_title(f"{compared.short}  {compared.product}", fontsize=9, parse_math=False)
        if len(classes) <= CLASSES_WITH_COUNTS:
            for row, column in zip(*np.nonzero(counts), strict=True):
                colour = "white" if share[row, column] > 0.5 else "black"
                written = str(counts[row, column])
                axes.text(
                    column, row, written, ha="center", va="center", fontsize=size - 1, color=colour
                )
    for axes in grid[len(matrices) :]:
        axes.set_axis_off()


def _draw_table(figure: Figure | SubFigure, comparison: Comparison) -> None:
    axes = figure.subplots()
    axes.set_axis_off()
    cells = [
        ["model version", *(each.run.model_version or each.run.status for each in comparison.runs)],
        [MEASURED_ON, *(each.measured_on or "–" for each in comparison.runs)],
    ]
    for row in comparison.metrics[:TABLE_METRICS]:
        written = []
        for value, ends, change, index in zip(
            row.values, row.intervals, row.deltas, range(len(row.values)), strict=True
        ):
            more = f"  {delta(change)}" if index and change is not None else ""
            written.append("–" if value is None else f"{number(value)}{interval(ends)}{more}")
        cells.append([row.name, *written])
    if comparison.unmeasured:
        cells.append([NOT_MEASURED, *comparison.unmeasured])
    if left := len(comparison.metrics) - TABLE_METRICS:
        cells += [[f"… and {left} more", *([""] * len(comparison.runs))]] if left > 0 else []
    table = axes.table(
        cellText=cells,
        colLabels=["", *(compared.short for compared in comparison.runs)],
        loc="upper center",
        cellLoc="left",
        colLoc="left",
        edges="horizontal",
    )
    table.auto_set_font_size(False)
    table.set_fontsize(8.5)
    for (line, column), cell in table.get_celld().items():
        cell.get_text().set_parse_math(False)
        cell.set_edgecolor("#cccccc")
        if line == 0 and column:
            cell.get_text().set_color(_colour(column - 1))
        best = (
            comparison.metrics[line - 3].best
            if 3 <= line < 3 + min(len(comparison.metrics), TABLE_METRICS)
            else None
        )
        if line == 0 or (best is not None and best == column - 1):
            cell.get_text().set_fontweight("bold")


def _colour(index: int) -> tuple[float, float, float, float]:
    """Return the colour of a run, as red, green, blue and alpha from 0 to 1."""
    red, green, blue, alpha = (
        colormaps["tab10"](index) if index < 10 else colormaps["tab20b"](index - 10)
    )
    return red, green, blue, alpha


def _line(index: int) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=_colour(index), linewidth=2)


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
