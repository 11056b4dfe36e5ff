"""`mlops truth`: labels of logged requests."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, advise, console, open_store, show, show_one

app = typer.Typer(
    help="Labels of logged requests, by which live metrics are measured.", no_args_is_help=True
)
_COLUMNS = ("day", "version", "samples", "labelled", "share", "corrected", "newest")

Model = Annotated[str, typer.Argument(help="Name of the model.", autocompletion=completion.models)]
Day = Annotated[
    str | None, typer.Option(metavar="YYYY-MM-DD", help="Only requests of this day, UTC.")
]


@app.command("add")
def add(
    model: Model,
    file: Annotated[
        Path,
        typer.Argument(
            help="CSV, Parquet or JSON lines with columns id, label, and optionally row, time and"
            " others that metrics are divided by.",
        ),
    ],
    day: Day = None,
    as_json: Json = False,
) -> None:
    """Add labels to the logged requests of a model, all of a file or none.

    A label is a name or value of a class, or a number. The same file again changes nothing; another
    label of a sample corrects the one before. Labels of requests that are not in the log are
    counted and left out.
    """
    from dataclasses import asdict

    from mlops_assets.monitoring.truth.add import add_truth
    from mlops_assets.monitoring.truth.label_table import read_label_file

    store = open_store()
    report = add_truth(store, model, read_label_file(file), day)
    if as_json:
        show_one(asdict(report), as_json)
        return
    counts = {name: getattr(report, name) for name in ("added", "corrected", "described")}
    done = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    console.print(f"{done or 'nothing added'}, {report.unchanged} unchanged")
    if report.unknown:
        ids = ", ".join(report.unknown_ids)
        more = ", …" if report.unknown > len(report.unknown_ids) else ""
        advise(
            f"{report.unknown} label(s) are of requests that are not in the log: {ids}{more}; if"
            f" they are recent, wait half a minute for servers to ship them, run 'mlops inference"
            f" compact {model}' and add the file again"
        )


@app.command("delete")
def delete(
    model: Model,
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    reason: Annotated[str, typer.Option(help="Why, for the log.")],
) -> None:
    """Delete the labels of a request, also corrected ones. This cannot be undone.

    Who has deleted them, when and why is in the log of the registry, but not the id.
    """
    from mlops_assets.errors import NotFound
    from mlops_assets.monitoring.truth.delete import delete_labels

    deleted = delete_labels(open_store(), model, request, reason)
    if not deleted:
        raise NotFound(f"no request of {model} with this id has labels")
    console.print(f"deleted the labels of {deleted} sample(s)")


@app.command("show")
def show_coverage(model: Model, day: Day = None, as_json: Json = False) -> None:
    """Show which share of the logged samples has labels, by day and model version."""
    from dataclasses import asdict

    from mlops_assets.monitoring.truth.coverage import coverage

    found = coverage(open_store(), model, day)
    rows = [{**asdict(each), "share": each.share} for each in found]
    none = "no requests and no labels of this model; see 'mlops inference list MODEL'"
    show(rows, as_json, _COLUMNS, none)
