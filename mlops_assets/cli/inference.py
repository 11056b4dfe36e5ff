"""`mlops inference`: the log of requests to served models."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, console, open_store, show, show_one

app = typer.Typer(help="Logged requests of served models.", no_args_is_help=True)
_COLUMNS = ("day", "compacted", "bytes", "segments", "segment_bytes", "dropped")

Model = Annotated[str, typer.Argument(help="Name of the model.", autocompletion=completion.models)]


@app.command("list")
def list_days(model: Model, as_json: Json = False) -> None:
    """List the days of which requests are logged, and what is not compacted yet."""
    from dataclasses import asdict

    from mlops_assets.serving.request_log.days import days_of

    rows = [asdict(day) for day in days_of(open_store(), model)]
    none = f"no logged requests of {model}; serve it with 'mlops serve'"
    show(rows, as_json, _COLUMNS, none)


@app.command("show")
def show_day(
    model: Model,
    day: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="UTC; the newest day if not given."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the requests of a day by model version: their number, latency and what was dropped.

    Those that are not compacted yet are not counted, see 'mlops inference compact'.
    """
    from dataclasses import asdict

    from mlops_assets.serving.request_log.days import summary_of

    show_one(asdict(summary_of(open_store(), model, day)), as_json)


@app.command("compact")
def compact(
    model: Model,
    day: Annotated[
        str | None,
        typer.Option(metavar="YYYY-MM-DD", help="UTC; all days with new requests if not given."),
    ] = None,
) -> None:
    """Publish the requests of a day in one file, as the schedule does every night.

    Monitoring reads that file. It can be done again when there are more requests.
    """
    from mlops_assets.serving.request_log.compact import compact_day
    from mlops_assets.serving.request_log.days import days_to_compact

    store = open_store()
    days = days_to_compact(store, model) if day is None else [day]
    if not days:
        console.print(f"no new requests of {model}; servers ship them every half minute")
    for each in days:
        file = compact_day(store, model, each)
        found = "no requests" if file is None else f"{file.path}, {file.size} bytes"
        console.print(f"{each}: {found}")


@app.command("delete")
def delete(
    model: Model,
    request: Annotated[str, typer.Argument(help="Id of the request.")],
    reason: Annotated[str, typer.Option(help="Why, for the log.")],
) -> None:
    """Delete a request from the log, with all its samples and labels. This cannot be undone.

    Who has deleted a request, when and why is in the log of the registry, but not its id.
    """
    from mlops_assets.errors import NotFound
    from mlops_assets.monitoring.truth.delete import delete_with_labels

    deletion = delete_with_labels(open_store(), model, request, reason)
    if deletion.samples == deletion.labels == 0:
        raise NotFound(
            f"no logged request of {model} has this id; what servers have answered is in the log"
            " within a minute"
        )
    console.print(f"deleted {deletion.samples} sample(s), and the labels of {deletion.labels}")


@app.command("prune")
def prune(
    model: Model,
    days: Annotated[int, typer.Option(min=1, help="Days to keep, with today.")],
) -> None:
    """Delete the requests of days that are too old, as the schedule does every night."""
    from datetime import UTC, datetime

    from mlops_assets.serving.request_log.retention import enforce_retention

    removed = enforce_retention(open_store(), model, days, datetime.now(UTC).date())
    console.print(f"deleted the requests of {', '.join(removed) or 'no day'}")
