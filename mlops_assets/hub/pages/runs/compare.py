"""The page that shows runs side by side."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import urlencode

from nicegui import ui

from mlops_assets.errors import MlopsError
from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.frame import page, problem
from mlops_assets.hub.pages.parts.cards import card, empty, table, title
from mlops_assets.hub.pages.parts.references import data_link, model_link, run_link
from mlops_assets.hub.pages.parts.texts import NONE, number, state, text
from mlops_assets.hub.pages.runs.elements import RunCurves, style
from mlops_assets.hub.pages.runs.parts import shown
from mlops_assets.hub.rest.runs.history import split_names
from mlops_assets.hub.views.runs.comparison import (
    MAX_RUNS,
    MEDIA_TYPES,
    MetricInComparison,
    RunComparison,
    RunInComparison,
    run_comparison,
)
from mlops_assets.names import Reference
from mlops_assets.runs.reports.formatting import delta

TITLES = {"html": "Report (HTML)", "md": "Markdown", "csv": "CSV"}


@page("/runs/compare", "Compare runs")
async def compare(runs: str = "", on: str = "") -> None:
    """Build the page."""
    style()
    run_ids = split_names(runs)
    with ui.element("div").classes("run-title"):
        title("Compare runs")
        actions = ui.element("div").classes("run-actions")
    if len(run_ids) < 2:
        empty(f"Select 2 to {MAX_RUNS} runs in the table of runs, then Compare.")
        ui.link("Runs", "/runs")
        return
    measure = _MeasureOn(run_ids, on)
    try:
        found = await read(run_comparison, run_ids, on or None)
    except MlopsError as error:
        if not on:
            raise
        # another data version can be entered
        problem(str(error))
        measure.build([])
        return
    with actions:
        for form in MEDIA_TYPES:
            asked = {"runs": ",".join(run_ids), "on": on, "format": form}
            given = urlencode({name: value for name, value in asked.items() if value}, safe=",")
            ui.link(TITLES[form], f"/api/v1/runs/compare?{given}").classes("hub-button").props(
                "download"
            )
    for notice in found.notices:
        text("p", notice, "run-notice")
    with card("Runs"):
        _runs(found)
        measure.build(found.runs)
    with card("Metrics", _note(found)):
        _metrics(found)
    with card("Curves"):
        labels = {each.run_id: _label(each) for each in found.runs}
        RunCurves(labels, "None of the runs has logged a metric.")
    if found.confusions:
        note = (
            "Test samples of one class that were predicted as another, where the runs differ most."
        )
        with card("Confusion", note):
            _confusions(found)
    with card("Differences"):
        _differences(found)
    with card("Equal parameters"):
        rows = [[name, shown(name, value)] for name, value in found.same_parameters.items()]
        if rows:
            table("Equal parameters", ["parameter", "value"], rows, ["value"])
        else:
            empty("No parameter is the same in all runs.")


class _MeasureOn:
    """The form that measures all models on the test split of one data version."""

    def __init__(self, run_ids: tuple[str, ...], on: str) -> None:
        self._run_ids = run_ids
        self._on = on

    def build(self, runs: list[RunInComparison]) -> None:
        """Add the form; data versions of the runs are proposed."""
        versions = sorted({f"{each.dataset}@{each.data_version}" for each in runs})
        with ui.element("form").classes("run-measure") as form:
            form.on("submit.prevent", self._measure)
            self._input = ui.input(
                "Measure all models on the test split of",
                value=self._on or (versions[-1] if versions else ""),
                autocomplete=versions,
            )
            self._input.props("outlined dense maxlength=255")
            button = ui.button("Measure").props("type=submit no-caps outline padding='6px 12px'")
            button.tooltip("Takes as long as an evaluation; nothing is published")
            if self._on:
                recorded = urlencode({"runs": ",".join(self._run_ids)}, safe=",")
                ui.link("As recorded", f"/runs/compare?{recorded}")

    def _measure(self) -> None:
        asked = {"runs": ",".join(self._run_ids), "on": str(self._input.value or "").strip()}
        ui.navigate.to(f"/runs/compare?{urlencode(asked, safe=',@')}")


def _label(run: RunInComparison) -> str:
    return f"{run.run_id[:8]}  {run.model} on {run.data_version}"


def _note(found: RunComparison) -> str:
    measured = f" on the test split of {found.on}" if found.on else ", as recorded"
    return (
        f"Values{measured}, with 95 % confidence intervals and the difference from the first run;"
        " the best is marked where that can be judged."
    )


def _runs(found: RunComparison) -> None:
    rows: list[list[str | Callable[[], object] | None]] = []
    for each in found.runs:
        product: str | Callable[[], object] = NONE
        if each.model_version:
            product = partial(model_link, Reference(each.model, each.model_version))
        rows.append(
            [
                partial(run_link, each.run_id),
                partial(state, each.status),
                each.model if each.model_version is None else product,
                partial(data_link, Reference(each.dataset, each.data_version)),
                each.measured_on or NONE,
                "; ".join([*each.unmeasured, *([each.overlap] if each.overlap else [])]) or NONE,
            ]
        )
    columns = ["run", "status", "model", "trained on", "measured on", "not in the test split"]
    table("Runs", columns, rows)


def _metrics(found: RunComparison) -> None:
    if not found.metrics:
        empty("The runs have recorded no metric.")
        return
    ids = [each.run_id[:8] for each in found.runs]
    rows: list[list[str | Callable[[], object] | None]] = [
        [row.name, *(partial(_value, row, index) for index in range(len(ids)))]
        for row in found.metrics
    ]
    table("Metrics", ["metric", *ids], rows, ids)


def _value(row: MetricInComparison, index: int) -> None:
    """Add a value with its interval and its difference from the first."""
    value, ends, change = row.values[index], row.intervals[index], row.deltas[index]
    if value is None:
        text("span", NONE)
        return
    with ui.element("div").classes("run-value"):
        if row.best == index:
            text("strong", number(value))
            text("span", "best", "hub-state hub-state-good")
        else:
            text("span", number(value))
        if index and change is not None:
            smaller = row.smaller_is_better
            good = None if smaller is None or change == 0 else (change < 0) == smaller
            look = {True: "run-better", False: "run-worse", None: "hub-note"}[good]
            text("span", delta(change), look)
    if ends is not None:
        text("div", f"{number(ends[0])} to {number(ends[1])}", "hub-note")


def _confusions(found: RunComparison) -> None:
    ids = [each.run_id[:8] for each in found.runs]
    rows = []
    for each in found.confusions:
        cells = [
            NONE if count is None or share is None else f"{count} ({share:.0%})"
            for count, share in zip(each.counts, each.shares, strict=True)
        ]
        rows.append([each.true, each.predicted, *cells])
    columns = ["true class", "predicted as", *ids]
    table("Confusion", columns, rows, ids)


def _differences(found: RunComparison) -> None:
    if not found.differences:
        empty("Nothing that was recorded differs.")
        return
    ids = [each.run_id[:8] for each in found.runs]
    rows = [
        [each.what, each.section, *(shown(each.what, value) for value in each.values)]
        for each in found.differences
    ]
    table("Differences", ["what", "of", *ids], rows, ids)
    if found.left_out:
        text("p", f"… and {found.left_out} more; the CSV file has all.", "hub-note")
