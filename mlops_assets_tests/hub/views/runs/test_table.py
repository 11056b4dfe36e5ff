"""The table of runs: cells of any kind, pages, shared reads, who sees what, CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable
from typing import Any

import pytest

from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.hub.views.runs import table
from mlops_assets.hub.views.runs.changes import newest_change
from mlops_assets.hub.views.runs.table import (
    MAX_CELL,
    csv_lines,
    point_lines,
    run_columns,
    run_table,
)
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry.search.run_search import RunQuery, page_of_runs
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import new_run

HTML = "<img src=x onerror=alert(1)>"


def start(store: Store, run_id: str, **columns: Any) -> None:
    store.registry.start_run(new_run(run_id, **columns))


def test_any_recorded_value_becomes_a_cell_that_json_has(store: Store) -> None:
    start(
        store,
        "a",
        metrics={"nan": math.nan, "inf": -math.inf, "loss": 0.5, "größe": 1},
        parameters={"net": {"depth": 2**60}, "text": "x" * 9000, "list": [1, {"a": None}]},
        tags={HTML: HTML, "a,b": "c"},
    )
    names = ("nan", "inf", "loss", "größe", "params.net.depth", "params.text", "params.list")
    found = run_table(store, RunQuery(), columns=(*names, f"tags.{HTML}", "tags.a,b", "started"))
    (row,) = found.rows
    assert row.values[:5] == ["NaN", "-Infinity", 0.5, 1, str(2**60)]
    assert len(str(row.values[5])) == MAX_CELL
    assert row.values[6:9] == ['[1, {"a": null}]', HTML, "c"]
    assert str(row.values[9]).endswith("Z")
    json.dumps(row.values, allow_nan=False)
    # what is offered as a column can be one
    offered = run_columns(store, RunQuery()).names
    assert {*names, f"tags.{HTML}", "tags.a,b"} <= set(offered)
    for name in offered:
        run_table(store, RunQuery(sort=name), columns=(name,))


def test_pages_are_of_one_order_without_gaps_and_count_what_is_seen(store: Store) -> None:
    for number in range(7):
        start(store, f"run-{number}", metrics={"loss": number % 3}, created_by="ann")
    start(store, "none")
    query = RunQuery(sort="-loss")
    ids = [
        row.run_id
        for first in range(0, 9, 2)
        for row in run_table(store, query, first, 2, ("loss",)).rows
    ]
    assert len(ids) == len(set(ids)) == 8 and ids[-1] == "none"
    assert {run_table(store, query, first, 2).total for first in (0, 6, 8, 100)} == {8}
    found = run_table(store, RunQuery(where="loss >= 1", created_by="ann"), 1, 2)
    assert (found.total, len(found.rows), found.first) == (4, 2, 1)
    assert run_table(store, RunQuery(status="failed")).rows == []
    store.registry.set_visibility(store.registry.data_versions()[0], Visibility.PRIVATE)
    viewer = store.acting(Principal("bob", frozenset({Role.VIEWER})))
    assert run_table(viewer, RunQuery()).total == 0


def test_a_question_is_read_once_until_a_run_changes(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    start(store, "a", metrics={"loss": 1.0})
    reads: list[RunQuery] = []

    def counted(registry: Any, query: RunQuery, *rest: Any) -> Any:
        reads.append(query)
        return page_of_runs(registry, query, *rest)

    monkeypatch.setattr(table, "page_of_runs", counted)
    first = run_table(store, RunQuery(), columns=("status", "tags.b"))
    store.registry.tag("fields", "v1", "unrelated")
    assert run_table(store, RunQuery(), columns=("status", "tags.b")) is first
    assert len(reads) == 1
    store.registry.tag_run("a", "b", "c")
    again = run_table(store, RunQuery(), columns=("status", "tags.b"))
    assert again.revision > first.revision and again.rows[0].values == ["running", "c"]
    # others may not see the same
    viewer = store.acting(Principal("bob", frozenset({Role.VIEWER})))
    run_table(viewer, RunQuery(), columns=("status", "tags.b"))
    assert len(reads) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda registry: registry.finish_run("a", "failed"),
        lambda registry: registry.note_run("a", "text"),
        lambda registry: registry.start_run(new_run("b")),
        lambda registry: registry.set_visibility(registry.data_versions()[0], Visibility.PRIVATE),
    ],
)
def test_what_changes_the_table_is_noticed(store: Store, change: Callable[[Any], None]) -> None:
    start(store, "a")
    before = newest_change(store)
    change(store.registry)
    assert newest_change(store) > before


def test_errors_are_of_those_who_ask(store: Store) -> None:
    start(store, "a", metrics={"loss": 1.0})
    for _ in range(2):
        with pytest.raises(NotFound, match="did you mean loss"):
            run_table(store, RunQuery(where="lass > 1"))
        with pytest.raises(SpecificationError, match="cannot be read"):
            run_table(store, RunQuery(where="loss >"))
    with pytest.raises(SpecificationError, match="60 columns at most"):
        run_table(store, RunQuery(), columns=tuple(f"c{number}" for number in range(61)))


def test_csv_has_every_run_and_no_formula(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_CSV_PAGE", 2)
    texts = ["=1+1", "+1", "-1", "@A1", "\tx", "plain", 'a,"b"\n']
    for number, text in enumerate(texts):
        start(store, f"run-{number}", tags={"t": text}, metrics={"loss": -0.5})
    rows = list(
        csv.reader(
            io.StringIO("".join(csv_lines(store, RunQuery(sort="run_id"), ("tags.t", "loss"))))
        )
    )
    assert rows[0] == ["run_id", "tags.t", "loss"]
    assert [row[1] for row in rows[1:]] == [
        *("'=1+1", "'+1", "'-1", "'@A1", "'\tx"),
        *("plain", 'a,"b"\n'),
    ]
    assert {row[2] for row in rows[1:]} == {"-0.5"}  # a number is no formula


def test_points_are_read_in_parts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "_POINTS", 2)
    start(store, "a")
    store.registry.log("a", [(seq, "=loss", seq, 0.5, 1e9) for seq in (0, 1, 5, 6, 9)])
    rows = list(csv.reader(io.StringIO("".join(point_lines(store, "a")))))
    assert [row[0] for row in rows] == ["seq", "0", "1", "5", "6", "9"]
    assert rows[1][1] == "'=loss"
