"""Runs side by side: intervals, differences, confusion, reports, and what is refused."""

from __future__ import annotations

import csv
import io
import math

import pytest

from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.hub.views.runs.comparison import comparison_report, run_comparison
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import new_run
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification


def test_measured_runs_have_intervals_and_differing_confusions(store: Store) -> None:
    rows = [lifecycle(store, model_specification(), depth=depth) for depth in (1, 6)]
    found = run_comparison(store, [row.run_id for row in rows])
    assert found.notices == [] and [each.model_version for each in found.runs] == [
        row.version for row in rows
    ]
    accuracy = next(row for row in found.metrics if row.name == "accuracy")
    for value, ends in zip(accuracy.values, accuracy.intervals, strict=True):
        assert value is not None and ends is not None and ends[0] <= value <= ends[1]
    assert accuracy.best == 1 and accuracy.smaller_is_better is False
    assert [each.what for each in found.differences if each.section == "parameters"] == ["depth"]
    first = found.confusions[0]
    counts = [count or 0 for count in first.counts]
    assert first.true != first.predicted and abs(counts[0] - counts[1]) > 0
    on = run_comparison(store, [row.run_id[:8] for row in rows], "fields@v1")
    assert on.on == "fields@v1" and on.runs[0].measured_on == "fields@v1"
    assert "<script" not in comparison_report(store, [row.run_id for row in rows], None, "html")


def test_runs_without_models_or_metrics_are_compared_as_text(store: Store) -> None:
    for number, text in enumerate(("=1+1", "<b>x</b>")):
        run = new_run(
            f"run-{number}", parameters={"=p": text}, metrics={"f1": number, "nan": math.nan}
        )
        store.registry.start_run(run)
    store.registry.start_run(new_run("run-2"))
    ids = ["run-0", "run-1", "run-2"]
    found = run_comparison(store, ids)
    metrics = {row.name: row.values for row in found.metrics}
    assert metrics == {"f1": [0.0, 1.0, None], "nan": [None, None, None]}
    assert found.confusions == [] and found.curves == []
    rows = list(csv.reader(io.StringIO(comparison_report(store, ids, None, "csv"))))
    assert ["parameters", "'=p", "'=1+1", "<b>x</b>", ""] in rows
    assert "`<b>x</b>`" in comparison_report(store, ids, None, "md")


def test_too_few_too_many_and_unknown_runs_are_refused(store: Store) -> None:
    for number in range(7):
        store.registry.start_run(new_run(f"run-{number}"))
    every = [f"run-{number}" for number in range(7)]
    for refused in (["run-0", "run-0"], every, []):
        with pytest.raises(SpecificationError, match="name 2 to 6 different ones"):
            run_comparison(store, refused)
    with pytest.raises(NotFound, match="no run begins with 'other'"):
        run_comparison(store, ["run-0", "other"])
    with pytest.raises(NotFound):
        run_comparison(store, every[:2], "fields@v9")
