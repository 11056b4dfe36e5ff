"""Runs side by side, as their page shows them: the report of `mlops run compare`."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from mlops_assets.errors import SpecificationError
from mlops_assets.hub.views.kept import SharedReads
from mlops_assets.hub.views.numbers import finite
from mlops_assets.hub.views.runs.changes import newest_change
from mlops_assets.hub.views.runs.table import Cell, cell, safe_cell
from mlops_assets.names import Reference
from mlops_assets.registry import Run
from mlops_assets.registry.files.verified_read import published_metrics
from mlops_assets.runs.comparison import ComparedRun, Comparison, Confusion, MetricRow, compare_runs
from mlops_assets.store import Store

MAX_RUNS = 6
MAX_CONFUSIONS = 15  # pairs of classes whose counts differ most
MAX_ROWS = 500  # of differences, and of equal parameters

Ends = tuple[float, float] | None
ReportFormat = Literal["html", "md", "csv"]
MEDIA_TYPES: dict[ReportFormat, str] = {
    "html": "text/html; charset=utf-8",
    "md": "text/markdown; charset=utf-8",
    "csv": "text/csv; charset=utf-8",
}


@dataclass(frozen=True)
class RunInComparison:
    """One of the runs; `measured_on` is the data version whose test split its metrics are of."""

    run_id: str
    model: str
    model_version: str | None
    dataset: str
    data_version: str
    status: str
    started: datetime
    measured_on: str | None
    unmeasured: list[str]
    overlap: str | None


@dataclass(frozen=True)
class MetricInComparison:
    """A metric in all runs.

    Attributes:
        name: of the metric.
        values: one a run; None where it has none.
        deltas: differences from the first run; None where they mean nothing.
        intervals: confidence intervals (95 %); None where there is none.
        best: number of the best run; None if none is, or that cannot be judged.
        smaller_is_better: None if the direction is unknown.
    """

    name: str
    values: list[float | None]
    deltas: list[float | None]
    intervals: list[Ends]
    best: int | None
    smaller_is_better: bool | None


@dataclass(frozen=True)
class DifferenceInComparison:
    """What is not the same in all runs; None where a run does not have it."""

    section: str
    what: str
    values: list[Cell]


@dataclass(frozen=True)
class ConfusionInComparison:
    """Test samples of one class that were predicted as another, where runs differ.

    Attributes:
        true, predicted: names of the classes.
        counts: one a run; None where a run has no confusion matrix of these classes.
        shares: counts as a share of the test samples of the true class.
    """

    true: str
    predicted: str
    counts: list[int | None]
    shares: list[float | None]


@dataclass(frozen=True)
class RunComparison:
    """Runs side by side; the first is what the others are compared with.

    Attributes:
        runs: in the order asked for.
        notices: what has to be known before the metrics are read.
        metrics: by name.
        differences: of data, code, parameters, environment, hardware and what the runs took.
        left_out: number of differences that are not listed.
        same_parameters: those that are equal in all runs.
        confusions: where the predictions differ most; empty if the classes are not the same.
        curves: names of the metrics that were logged more than once, those of most runs first.
        on: data version on whose test split all were measured now; None if as recorded.
    """

    runs: list[RunInComparison]
    notices: list[str]
    metrics: list[MetricInComparison]
    differences: list[DifferenceInComparison]
    left_out: int
    same_parameters: dict[str, Cell]
    confusions: list[ConfusionInComparison]
    curves: list[str]
    on: str | None


_compared: SharedReads[Comparison] = SharedReads(16)


def run_comparison(store: Store, run_ids: Sequence[str], on: str | None = None) -> RunComparison:
    """Compare runs.

    Args:
        store: has the runs.
        run_ids: two to six ids, or their beginnings.
        on: `dataset@version` on whose test split all models are measured; as recorded if None.

    Raises:
        SpecificationError: fewer than two runs, or more than six.
        NotFound: there is no such run or data version.
        EvaluationError: no model can be measured on the data version.
    """
    found = _comparison(store, run_ids, on)
    differences = [
        DifferenceInComparison(each.section, each.what, [cell(value) for value in each.values])
        for each in found.differences
    ]
    same = list(found.same_parameters.items())[:MAX_ROWS]
    recorded = None if found.on else [_recorded_intervals(store, each.run) for each in found.runs]
    return RunComparison(
        runs=[_run(each) for each in found.runs],
        notices=found.notices,
        metrics=[_metric(row, recorded) for row in found.metrics],
        differences=differences[:MAX_ROWS],
        left_out=max(0, len(differences) - MAX_ROWS),
        same_parameters={name: cell(value) for name, value in same},
        confusions=_confusions([each.confusion for each in found.runs]),
        curves=_curves(found),
        on=on,
    )


def comparison_report(
    store: Store, run_ids: Sequence[str], on: str | None, form: ReportFormat
) -> str:
    """Return a comparison as a page of HTML with its figures, as Markdown, or as CSV.

    Args:
        store: has the runs.
        run_ids: two to six ids, or their beginnings.
        on: `dataset@version` on whose test split all models are measured; as recorded if None.
        form: format of the report.

    Raises:
        SpecificationError: fewer than two runs, or more than six.
        NotFound: there is no such run or data version.
        EvaluationError: no model can be measured on the data version.
    """
    found = _comparison(store, run_ids, on)
    if form == "csv":
        return _csv(found)
    if form == "md":
        from mlops_assets.runs.reports.markdown import markdown

        return markdown(found, {})
    from mlops_assets.runs.reports import figures
    from mlops_assets.runs.reports.html import html

    return html(found, figures.drawn(found))


def _comparison(store: Store, run_ids: Sequence[str], on: str | None) -> Comparison:
    runs = {run.run_id: run for run in map(store.registry.run, run_ids[: MAX_RUNS + 1])}
    if not 2 <= len(runs) <= MAX_RUNS:
        raise SpecificationError(
            f"{len(runs)} run(s) are named; name 2 to {MAX_RUNS} different ones to compare"
        )
    split_of = None if on is None else Reference.parse(on)
    caller = (store.registry.url, store.registry.principal, newest_change(store))
    question = (*caller, tuple(runs), on)
    return _compared.get(question, lambda: compare_runs(store, list(runs.values()), split_of))


def _run(compared: ComparedRun) -> RunInComparison:
    run = compared.run
    overlap = compared.measured and compared.measured.overlap
    seen = overlap.train if overlap else 0
    return RunInComparison(
        run.run_id,
        run.model,
        run.model_version,
        run.dataset,
        run.data_version,
        run.status,
        run.started,
        compared.measured_on or None,
        list(compared.unmeasured),
        f"{seen} test samples were in its training split" if seen else None,
    )


def _metric(row: MetricRow, recorded: Sequence[dict[str, Ends]] | None) -> MetricInComparison:
    intervals = [
        None if ends is None else (float(ends[0]), float(ends[1])) for ends in row.intervals
    ]
    if recorded is not None:
        intervals = [found.get(row.name) for found in recorded]
    return MetricInComparison(
        row.name,
        [finite(value) for value in row.values],
        [finite(value) for value in row.deltas],
        intervals,
        row.best,
        row.smaller_is_better,
    )


def _recorded_intervals(store: Store, run: Run) -> dict[str, Ends]:
    """Return the intervals that were measured with the model version of a run."""
    if run.model_version is None:
        return {}
    found = published_metrics(store.workspace, store.registry, run.model, run.model_version)
    if found is None or found.intervals is None:
        return {}
    return dict(found.intervals.metrics)


def _confusions(matrices: Sequence[Confusion | None]) -> list[ConfusionInComparison]:
    known = [matrix for matrix in matrices if matrix is not None]
    if len(known) < 2 or any(matrix.classes != known[0].classes for matrix in known):
        return []
    found = []
    for row, true in enumerate(known[0].classes):
        for column, predicted in enumerate(known[0].classes):
            counts = [None if each is None else each.counts[row][column] for each in matrices]
            shares = [
                None if each is None else each.counts[row][column] / max(sum(each.counts[row]), 1)
                for each in matrices
            ]
            present = [count for count in counts if count is not None]
            if row != column and max(present) != min(present):
                found.append(ConfusionInComparison(true, predicted, counts, shares))
    found.sort(key=_spread, reverse=True)
    return found[:MAX_CONFUSIONS]


def _spread(confusion: ConfusionInComparison) -> int:
    present = [count for count in confusion.counts if count is not None]
    return max(present) - min(present)


def _curves(found: Comparison) -> list[str]:
    counts: dict[str, int] = {}
    for each in found.runs:
        for name, points in each.series.items():
            if len(points) > 1:
                counts[name] = counts.get(name, 0) + 1
    return sorted(counts, key=lambda name: (-counts[name], name))


def _csv(found: Comparison) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer)

    def write(*values: object) -> None:
        writer.writerow([safe_cell(cell(value, None)) for value in values])

    write("section", "name", *(each.run.run_id for each in found.runs))
    write("run", "model version", *(each.product for each in found.runs))
    write("run", "measured on", *(each.measured_on for each in found.runs))
    for row in found.metrics:
        write("metric", row.name, *row.values)
    for each in found.differences:
        write(each.section, each.what, *each.values)
    for name, value in found.same_parameters.items():
        write("same parameter", name, *[value] * len(found.runs))
    return buffer.getvalue()
