"""Output of runs and their comparisons, which the registry and `runs.comparison` provide."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from itertools import pairwise

from rich.table import Column, Table

from mlops_assets.cli.terminal.output import console, draw, show
from mlops_assets.paths import object_key, run_log_key
from mlops_assets.registry import Run
from mlops_assets.runs.comparison import Comparison, MetricRow
from mlops_assets.runs.environment import recorded_environment
from mlops_assets.runs.record import unmeasured_of
from mlops_assets.runs.reports.formatting import (
    MEASURED_ON,
    NOT_MEASURED,
    delta,
    interval,
    number,
    plain,
    quantity,
)
from mlops_assets.store import Store

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 24  # of a small curve
MAX_DIFFERENCES = 30  # of one section; JSON and reports have more
MAIN_PACKAGES = (
    "mlops-assets",
    "numpy",
    "pandas",
    "scikit-learn",
    "torch",
    "tensorflow",
    "tensorflow-cpu",
    "keras",
    "jax",
    "flax",
    "xgboost",
    "lightgbm",
    "onnx",
    "onnxruntime",
    "dagster",
)


def print_run(store: Store, run: Run) -> None:
    """Print the record of a run."""
    series = store.registry.series(run.run_id)
    checkpoints = store.registry.checkpoints(run.run_id)
    lines = {
        "run": run.run_id,
        "model": run.model,
        "outcome": (
            f"{run.status}, {run.model}@{run.model_version}" if run.model_version else run.status
        ),
        "error": run.error,
        "data": f"{run.dataset}@{run.data_version}, digest {run.data_digest[:12]}",
        "trainer": run.trainer,
        "code": _code(run),
        "container": run.code.get("container"),
        "environment": _environment(run, recorded_environment(store, run)),
        "hardware": _lines(run.hardware),
        "started": (
            f"{run.started:%Y-%m-%d %H:%M:%S} by {run.created_by or 'unknown'}, {run.source}"
        ),
        "took": plain(None) if run.seconds is None else quantity("seconds", run.seconds),
        "attempts": run.attempts,
        "phases": "\n".join(
            f"{name}: {quantity('seconds', value)}" for name, value in run.phases.items()
        ),
        "usage": "\n".join(
            f"{_label(name)}: {quantity(name, value)}" for name, value in run.usage.items()
        ),
        "tags": _lines(run.all_tags),
        "seed": run.seed,
        "parameters": _lines(run.parameters),
        "metrics": "\n".join(f"{name}: {number(value)}" for name, value in run.metrics.items()),
        "unmeasured": ", ".join(unmeasured_of(store, run)),
        "series": "\n".join(
            f"{name}: {sparkline([value for _, value in points])}  {number(points[0][1])} →"
            f" {number(points[-1][1])}, {len(points)} point(s)"
            for name, points in series.items()
        ),
        "checkpoints": ", ".join(
            f"step {row.step} ({quantity('_bytes', row.size)})" for row in checkpoints
        ),
        "notes": "\n".join(
            f"{note.noted:%Y-%m-%d %H:%M} {note.noted_by}: {note.text}"
            for note in store.registry.notes(run.run_id)
        ),
        "log": (
            f"mlops run show {run.run_id[:8]} --log"
            if store.registry.files_at(run_log_key(run.run_id))
            else None
        ),
    }
    table = Table(Column(style="bold"), Column(overflow="fold"), show_header=False, box=None)
    for name, value in lines.items():
        if value not in (None, ""):
            table.add_row(name, str(value))
    draw(table, fold=True)


def print_table(header: Sequence[str], rows: Sequence[Sequence[object]], empty: str) -> None:
    """Print rows under the requested names; run ids are shortened, which commands accept."""
    documents = [
        {
            str(index): _cell(name, value)
            for index, (name, value) in enumerate(zip(header, row, strict=True))
        }
        for row in rows
    ]
    show(documents, False, [str(index) for index in range(len(header))], empty, titles=list(header))


def print_comparison(comparison: Comparison) -> None:
    """Print metrics and differences; more of both is in the reports."""
    for notice in comparison.notices:
        console.print(notice, style="yellow")
    if comparison.notices:
        console.print()
    ids = [compared.short for compared in comparison.runs]
    rows: list[list[object]] = [
        ["model version", *(compared.product for compared in comparison.runs)],
        [MEASURED_ON, *(compared.measured_on or "–" for compared in comparison.runs)],
    ]
    rows += [[row.name, *_metric_cells(row)] for row in comparison.metrics]
    rows += [[NOT_MEASURED, *comparison.unmeasured]] if comparison.unmeasured else []
    print_table(["", *ids], rows, "")
    for section in dict.fromkeys(difference.section for difference in comparison.differences):
        found = comparison.of(section)
        console.print()
        console.print(section, style="bold")
        shown = [
            [each.what, *(quantity(each.what, value) for value in each.values)]
            for each in found[:MAX_DIFFERENCES]
        ]
        print_table(["", *ids], shown, "")
        if len(found) > MAX_DIFFERENCES:
            console.print(f"… and {len(found) - MAX_DIFFERENCES} more; --json has them all")


def sparkline(values: Sequence[float]) -> str:
    """Return a curve as a line of small bars: each the mean of its share of the points."""
    if not values:
        return ""
    width = min(WIDTH, len(values))
    edges = [round(index * len(values) / width) for index in range(width + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    low = min(means)
    span = max(means) - low
    return "".join(
        BARS[round((mean - low) / span * (len(BARS) - 1)) if span else 0] for mean in means
    )


def _metric_cells(row: MetricRow) -> list[str]:
    cells = []
    for index, (value, ends, change) in enumerate(
        zip(row.values, row.intervals, row.deltas, strict=True)
    ):
        written = plain(value) + interval(ends) + (" *" if row.best == index else "")
        cells.append(f"{written}  {delta(change)}" if index and change is not None else written)
    return cells


def _code(run: Run) -> str:
    diff = run.code.get("diff")
    return (
        f"{run.code_version}\nuncommitted changes are kept: {object_key(diff)}"
        if diff
        else run.code_version
    )


def _environment(run: Run, packages: dict[str, str] | None) -> str:
    if packages is None:
        return "not recorded"
    main = [f"{name} {packages[name]}" for name in MAIN_PACKAGES if name in packages]
    known = f"python {packages['python']}, {len(packages) - 1} packages: {', '.join(main)}"
    return f"{known}\n{object_key(run.environment)}" if run.environment else known


def _lines(document: Mapping[str, object]) -> str:
    return "\n".join(
        f"{name}: {plain(value, 500)}"
        for name, value in document.items()
        if value not in (None, [], {})
    )


def _label(name: str) -> str:
    return (
        name.removesuffix("_bytes")
        .removesuffix("_joules")
        .removesuffix("_seconds")
        .replace("_", " ")
    )


def _cell(name: str, value: object) -> object:
    if name == "run_id":
        return str(value)[:8]
    if value is None or isinstance(value, datetime):
        return value
    if name.endswith(("_bytes", "_joules")) or name == "error":
        return quantity(name, value)
    return (
        value if isinstance(value, (int, float)) and not isinstance(value, bool) else plain(value)
    )
