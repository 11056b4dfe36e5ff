"""A comparison as Markdown that fits a merge request: tables, and links to figures beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

from mlops_assets.runs.comparison import Comparison, Difference, MetricRow
from mlops_assets.runs.reports.formatting import (
    MEASURED_ON,
    NOT_MEASURED,
    delta,
    interval,
    number,
    quantity,
)
from mlops_assets.text.markup import code, table
from mlops_assets.text.templates import template

# of one table; a merge request is read, not searched
MAX_ROWS = 30
TITLES = {"curves": "Learning curves", "confusion": "Confusion matrices on the test split"}


def markdown(comparison: Comparison, figures: Mapping[str, str]) -> str:
    """Return the comparison; its template is `comparison.md.j2`.

    Args:
        comparison: the runs that are compared.
        figures: name → path of the figure, relative to the text.
    """
    runs = comparison.runs
    names = [code(compared.short) for compared in runs]
    facts = [
        ["model version", *(code(compared.product) for compared in runs)],
        ["data", *(code(f"{c.run.dataset}@{c.run.data_version}") for c in runs)],
        [MEASURED_ON, *(code(c.measured_on) if c.measured_on else "–" for c in runs)],
        ["code", *(code(c.run.code_version) for c in runs)],
        ["took", *(quantity("seconds", c.run.seconds) for c in runs)],
    ]
    unmeasured = zip(names, comparison.unmeasured, strict=True) if comparison.unmeasured else ()
    differences = [_difference(each) for each in comparison.differences if each.section != "took"]
    text = template("mlops_assets.runs.reports", "comparison.md.j2").render(
        first=names[0],
        others=names[1:],
        notices=comparison.notices,
        facts=table(["", *names], facts),
        metrics=metrics_table(comparison, names),
        unmeasured=[f"{run} {code(classes)}" for run, classes in unmeasured],
        not_measured=NOT_MEASURED,
        differences=_shortened(["", "", *names], differences),
        figures={TITLES[name]: quote(path) for name, path in figures.items()},
    )
    return text.removesuffix("\n")


def metrics_table(comparison: Comparison, names: Sequence[str]) -> str:
    """Return the metrics of all runs with intervals and differences from the first one.

    Args:
        comparison: the runs that are compared.
        names: of the runs, in Markdown.

    Returns:
        A table; empty if there is no metric.
    """
    return _shortened(["", *names], [_metric(row) for row in comparison.metrics])


def _metric(row: MetricRow) -> list[str]:
    cells = [code(row.name)]
    for index, (value, ends, change) in enumerate(
        zip(row.values, row.intervals, row.deltas, strict=True)
    ):
        written = "–" if value is None else number(value)
        written = f"**{written}**" if row.best == index else written
        written += interval(ends)
        cells.append(f"{written} {delta(change)}" if index and change is not None else written)
    return cells


def _difference(difference: Difference) -> list[str]:
    values = [
        "–" if value is None else code(quantity(difference.what, value))
        for value in difference.values
    ]
    return [difference.section, code(difference.what), *values]


def _shortened(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return the first rows as a table, and how many more there are; nothing if there are none."""
    if not rows:
        return ""
    written = table(header, rows[:MAX_ROWS])
    left = len(rows) - MAX_ROWS
    return f"{written}\n\n… and {left} more" if left > 0 else written
