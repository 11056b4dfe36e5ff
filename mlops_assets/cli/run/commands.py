"""`mlops run`: the history of training runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import (
    Json,
    advise,
    console,
    metric_columns,
    open_store,
    show,
    show_one,
)
from mlops_assets.names import Reference
from mlops_assets.text.printable import printable_log

if TYPE_CHECKING:
    from mlops_assets.registry import Run
    from mlops_assets.registry.search.fields import Field

app = typer.Typer(help="Training runs: history and comparison.", no_args_is_help=True)
RunId = Annotated[
    str, typer.Argument(help="Run id, or its beginning.", autocompletion=completion.run_ids)
]
_FIRST = ("run_id", "model", "data_version", "status", "model_version")
_LAST = ("started", "seconds")


@app.command("list")
def list_runs(
    model: Annotated[
        str | None,
        typer.Argument(help="Model; all if not given.", autocompletion=completion.models),
    ] = None,
    where: Annotated[
        str | None,
        typer.Option(
            help=(
                "Filter in CQL2, e.g. 'macro_f1 > 0.8 and params.learning_rate < 0.01'; see"
                " docs/runs.md."
            )
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(help="Sort by a column, METRIC or params.NAME; -NAME for descending order."),
    ] = None,
    descending: Annotated[
        bool, typer.Option("--descending", help="Sort in descending order.")
    ] = False,
    limit: Annotated[int, typer.Option(min=0, help="Maximum number of runs; 0 for all.")] = 50,
    columns: Annotated[
        str | None, typer.Option(help="Columns, e.g. run_id,macro_f1,params.epochs.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List runs, newest first unless sorted."""
    from mlops_assets.registry.search.fields import field
    from mlops_assets.registry.search.run_search import NEWEST, names_in, search_runs
    from mlops_assets.runs.record import describe

    order = sort or NEWEST
    if sort is not None and descending:
        order = f"-{sort.removeprefix('-')}"
    wanted = [field(name.strip()) for name in columns.split(",")] if columns else None
    runs = search_runs(open_store().registry, model, where, order, limit + 1 if limit else None)
    more = bool(limit) and len(runs) > limit
    if limit:
        runs = runs[:limit]
    if as_json:
        rows = [_values(run, wanted) if wanted else describe(run) for run in runs]
        show(rows, True, [], "")
    else:
        named = [*(names_in(where) if where else []), *([order.removeprefix("-")] if sort else [])]
        _print_table(runs, wanted or _columns(runs, named), bool(model or where))
    if more:
        advise(f"these are the first {limit}; use --limit 0 for all, or --where to filter")


@app.command("show")
def show_run(
    run_id: RunId,
    log: Annotated[bool, typer.Option("--log", help="Print only the output of the run.")] = False,
    as_json: Json = False,
) -> None:
    """Show the record of a run, or its log."""
    from mlops_assets.cli.run import compare as run_reports
    from mlops_assets.runs.record import describe, details, log_of

    store = open_store()
    run = store.registry.run(run_id)
    if as_json:
        document = describe(run) | details(store, run)
        show_one(document | ({"log": log_of(store, run)} if log else {}), as_json=True)
    elif log:
        typer.echo(printable_log(log_of(store, run)), nl=False)
    else:
        run_reports.print_run(store, run)


@app.command("note")
def note_run(run_id: RunId, text: Annotated[str, typer.Argument(help="Text of the note.")]) -> None:
    """Add a note to a run, which is never changed."""
    registry = open_store().registry
    run = registry.run(run_id)
    registry.note_run(run.run_id, text)
    console.print(f"run {run.run_id[:8]} has {len(registry.notes(run.run_id))} note(s)")


@app.command("tag")
def tag_run(
    run_id: RunId,
    tags: Annotated[
        list[str], typer.Argument(metavar="NAME=VALUE…", help="Tags; NAME= removes one.")
    ],
) -> None:
    """Set tags of a run, or remove them; filters find them as tags.NAME."""
    pairs = [tag.partition("=") for tag in tags]
    if not all(equals for _, equals, _ in pairs):
        raise typer.BadParameter("write each tag as NAME=VALUE, or NAME= to remove it")
    registry = open_store().registry
    run = registry.run(run_id)
    for name, _, value in pairs:
        run = registry.tag_run(run.run_id, name, value or None)
    named = ", ".join(f"{name}={value}" for name, value in sorted(run.all_tags.items()))
    console.print(
        f"run {run.run_id[:8]} has the tags {named}"
        if named
        else f"run {run.run_id[:8]} has no tags"
    )


@app.command()
def compare(
    run_ids: Annotated[
        list[str],
        typer.Argument(
            help="Two or more run ids, or their beginnings.", autocompletion=completion.run_ids
        ),
    ],
    on: Annotated[
        str | None,
        typer.Option(
            metavar="DATASET@VERSION",
            help="Measure all models on the test split of this data version.",
            autocompletion=completion.data_references,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Write a report: .html, .png, or .md with its figures beside it."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Compare runs side by side: metrics, data, code, parameters, environment.

    Metrics of runs on different data versions are comparable only with --on.
    """
    from mlops_assets.cli.run import compare as run_reports
    from mlops_assets.runs.comparison import compare_runs
    from mlops_assets.runs.reports import check_format, write_report

    if len(run_ids) < 2:
        raise typer.BadParameter("name at least two runs; see 'mlops run list'")
    if report is not None:
        check_format(report)
    store = open_store()
    runs = {run.run_id: run for run in map(store.registry.run, run_ids)}
    if len(runs) < 2:
        raise typer.BadParameter("these ids name the same run; name two different ones")
    split_of = None if on is None else Reference.parse(on)
    comparison = compare_runs(store, list(runs.values()), split_of)
    if as_json:
        show_one(comparison.document(), as_json=True)
    else:
        run_reports.print_comparison(comparison)
    for path in write_report(comparison, report) if report else []:
        advise(f"wrote {path}")


def _values(run: Run, wanted: list[Field]) -> dict[str, object]:
    return {each.name: each.value(run) for each in wanted}


def _columns(runs: list[Run], named: list[str]) -> list[Field]:
    """Return the columns of a listing; those of the filter and the order are always among them."""
    from mlops_assets.registry.search.fields import field

    metrics = [
        column.removeprefix("metrics.") for column in metric_columns(run.metrics for run in runs)
    ]
    names = dict.fromkeys(
        (*_FIRST, *metrics, *(name.removeprefix("metrics.") for name in named), *_LAST)
    )
    return [field(name) for name in names]


def _print_table(runs: list[Run], wanted: list[Field], filtered: bool) -> None:
    from mlops_assets.cli.run import compare as run_reports

    rows = [[each.value(run) for each in wanted] for run in runs]
    empty = "no run matches" if filtered else "no run yet; run 'mlops train MODEL'"
    run_reports.print_table([each.name for each in wanted], rows, empty)
