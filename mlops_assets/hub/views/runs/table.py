"""The table of runs: pages of it, its columns, and the whole as CSV."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeAlias

from mlops_assets.choices import MAIN_METRICS
from mlops_assets.errors import SpecificationError
from mlops_assets.hub.views.kept import SharedReads
from mlops_assets.hub.views.runs.changes import newest_change
from mlops_assets.registry import Run
from mlops_assets.registry.search.fields import Field, field
from mlops_assets.registry.search.run_names import names_of_runs
from mlops_assets.registry.search.run_search import RunQuery, names_in, page_of_runs
from mlops_assets.store import Store

PAGE = 100  # runs, unless more or fewer are asked for
MAX_PAGE = 500  # runs
MAX_COLUMNS = 60
MAX_CELL = 300  # characters
MAX_SAFE = 2**53  # integers beyond are not exact in JavaScript
# what a spreadsheet takes for the beginning of a formula; OWASP, "CSV Injection"
FORMULA = ("=", "+", "-", "@", "\t", "\r")
_FIRST = ("status", "model", "data_version", "model_version")
_LAST = ("created_by", "started", "seconds")
_CSV_PAGE = 1_000  # runs read at once
_POINTS = 20_000  # read at once
_NEWEST = 50  # runs whose metrics are the columns unless others are chosen

Cell: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class RunTable:
    """A page of the table of runs.

    Attributes:
        columns: names, as filters have them.
        rows: of each run its id, and a value for each column; None where it has none.
        first: number of the first row, from 0.
        total: number of all rows.
        revision: grows when any run changes.
    """

    columns: list[str]
    rows: list[RunRow]
    first: int
    total: int
    revision: int


@dataclass(frozen=True)
class RunRow:
    """A run in the table."""

    run_id: str
    values: list[Cell]


@dataclass(frozen=True)
class RunColumns:
    """The names that may be columns.

    Attributes:
        names: of everything that runs have recorded.
        chosen: columns unless others are chosen.
    """

    names: list[str]
    chosen: list[str]


_pages: SharedReads[RunTable] = SharedReads(128)
_names: SharedReads[list[str]] = SharedReads(32)
_models: SharedReads[list[str]] = SharedReads(32)


def run_table(
    store: Store, query: RunQuery, first: int = 0, limit: int = PAGE, columns: tuple[str, ...] = ()
) -> RunTable:
    """Return a page of the table of runs.

    Args:
        store: has the runs.
        query: filter and order.
        first: number of the first row, from 0.
        limit: rows at most.
        columns: names; the usual ones if there are none.

    Raises:
        SpecificationError: filter, order or a column cannot be read.
        NotFound: no run has a property in the filter or order.
    """
    if len(columns) > MAX_COLUMNS:
        raise SpecificationError(f"a table has {MAX_COLUMNS} columns at most; leave some out")
    revision = newest_change(store)
    chosen = columns or usual_columns(store, query)
    question = (store.registry.url, store.registry.principal, revision, query, first, limit, chosen)
    return _pages.get(question, lambda: _read(store, query, first, limit, chosen, revision))


def usual_columns(store: Store, query: RunQuery) -> tuple[str, ...]:
    """Return the columns of a table for which none are chosen.

    Those that the filter and the order name are among them.

    Raises:
        SpecificationError: filter or order cannot be read.
    """
    revision = newest_change(store)
    question = (store.registry.url, store.registry.principal, revision, query.model)
    newest = _names.get(question, lambda: _metrics_of_newest(store, query.model))
    named = [*(names_in(query.where) if query.where else []), query.sort.removeprefix("-")]
    asked = [name.removeprefix("metrics.") for name in named if name not in ("run_id", *_LAST)]
    return tuple(dict.fromkeys((*_FIRST, *newest, *asked, *_LAST)))


def run_columns(store: Store, query: RunQuery) -> RunColumns:
    """Return the names that may be columns of a table, and those that usually are.

    Args:
        store: has the runs.
        query: filter and order; names are those of the runs of its model.
    """
    names = names_of_runs(store.registry, query.model)
    return RunColumns(
        [name for name in names if name != "run_id"], list(usual_columns(store, query))
    )


def run_models(store: Store) -> list[str]:
    """Return the names of all models that have runs."""
    revision = newest_change(store)
    question = (store.registry.url, store.registry.principal, revision)
    return _models.get(question, store.registry.models_with_runs)


def csv_lines(store: Store, query: RunQuery, columns: tuple[str, ...]) -> Iterator[str]:
    """Yield the table of runs as CSV, with a header.

    Texts that a spreadsheet would take for formulas get a quote before them.

    Args:
        store: has the runs.
        query: filter and order.
        columns: names after the id of each run; the usual ones if there are none.

    Raises:
        SpecificationError: filter, order or a column cannot be read.
        NotFound: no run has a property in the filter or order.
    """
    fields = [field(name) for name in columns or usual_columns(store, query)]
    first = 0
    # before the header, which starts a response: a filter is refused with a status of its own
    page = page_of_runs(store.registry, query, first, _CSV_PAGE, fields)
    yield _csv_line(["run_id", *(each.name for each in fields)])
    while True:
        for run in page.runs:
            yield _csv_line([run.run_id, *(cell(each.value(run), None) for each in fields)])
        first += _CSV_PAGE
        if first >= page.total:
            return
        page = page_of_runs(store.registry, query, first, _CSV_PAGE, fields)


def point_lines(store: Store, run_id: str) -> Iterator[str]:
    """Yield every logged point of a run as CSV, with a header.

    Args:
        store: has the run.
        run_id: its id, or the beginning of it.

    Raises:
        NotFound: there is no such run.
    """
    run = store.registry.run(run_id)
    yield _csv_line(["seq", "name", "step", "value", "logged"])
    first = 0
    while points := store.registry.points_since(run.run_id, first, _POINTS):
        yield "".join(_csv_line([cell(value) for value in point]) for point in points)
        first = points[-1][0] + 1


def cell(value: object, longest: int | None = MAX_CELL) -> Cell:
    """Return a recorded value as a cell of a table, which JSON has.

    Args:
        value: of any kind.
        longest: characters of a text at most; None for all.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= MAX_SAFE else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return text if longest is None or len(text) <= longest else f"{text[: longest - 1]}…"


def safe_cell(value: Cell) -> Cell:
    """Return a cell that no spreadsheet takes for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _csv_line(values: list[Cell]) -> str:
    buffer = io.StringIO()
    csv.writer(buffer).writerow([safe_cell(value) for value in values])
    return buffer.getvalue()


def _read(
    store: Store, query: RunQuery, first: int, limit: int, chosen: tuple[str, ...], revision: int
) -> RunTable:
    fields = [field(name) for name in chosen]
    page = page_of_runs(store.registry, query, first, limit, fields)
    rows = [RunRow(run.run_id, _values(run, fields)) for run in page.runs]
    return RunTable(list(chosen), rows, first, page.total, revision)


def _values(run: Run, fields: list[Field]) -> list[Cell]:
    return [cell(each.value(run)) for each in fields]


def _metrics_of_newest(store: Store, model: str | None) -> list[str]:
    newest = page_of_runs(store.registry, RunQuery(model), 0, _NEWEST, [field("metrics.any")])
    present: set[str] = set()
    for run in newest.runs:
        metrics: Mapping[str, object] = run.metrics
        present |= set(metrics)
    return [name for name in MAIN_METRICS if name in present]
