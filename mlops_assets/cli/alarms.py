"""`mlops alarm`: rules of monitoring that have failed, and what came of them."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, console, open_store, show, show_one
from mlops_assets.errors import SettingsError
from mlops_assets.settings import Settings

app = typer.Typer(
    help="Rules of monitoring that have failed, and what came of them.", no_args_is_help=True
)
_COLUMNS = ("id", "model", "version", "rule", "day", "last_day", "recovered_day", "retrained_on")


@app.command("list")
def list_alarms(
    model: Annotated[
        str | None,
        typer.Argument(help="Name of a model; all if not given.", autocompletion=completion.models),
    ] = None,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only those whose rule has not passed again.")
    ] = False,
    as_json: Json = False,
) -> None:
    """List alarms, newest first."""
    from mlops_assets.registry import Alarm

    columns = [column.name for column in Alarm.__table__.columns]
    rows = [
        {column: getattr(found, column) for column in columns}
        for found in open_store().registry.alarms(model, only_open)
    ]
    show(rows, as_json, _COLUMNS, "no open alarm" if only_open else "no alarm yet")


@app.command("show")
def show_alarm(
    number: Annotated[int, typer.Argument(metavar="N", help="Number of the alarm.")],
    as_json: Json = False,
) -> None:
    """Show an alarm, and the line from it to what is deployed because of it.

    The line has the Dagster run that trains again, the training run, its model version, promotions
    and deployments.
    """
    from dataclasses import asdict

    from mlops_assets.lineage.alarms import alarm_lineage, find_alarm

    store = open_store()
    found = alarm_lineage(store, find_alarm(store, number))
    row = {**asdict(found), "lineage": found.line()}
    if not as_json:
        del row["runs"]
    show_one(row, as_json)


@app.command()
def sync(as_json: Json = False) -> None:
    """Bring the issues of alarms up to date, as the sensor `issues` does.

    The trackers are those that MLOPS_ISSUES declares. Exits with 1 if one has refused.
    """
    from dataclasses import asdict

    from mlops_assets.integrations.issue_trackers.declaration import read_trackers
    from mlops_assets.integrations.issue_trackers.sync import synchronise

    path = Settings.from_environment().issues
    if path is None:
        raise SettingsError("MLOPS_ISSUES is not set; name the YAML file that declares trackers")
    outcome = synchronise(open_store(), read_trackers(path))
    rows = [asdict(change) for change in outcome.changes]
    columns = ("alarm", "tracker", "change", "url", "error")
    show(rows, as_json, columns, "every issue is up to date")
    for name, seconds in outcome.waits.items():
        console.print(f"{name} asks to wait {seconds:.0f} s")
    if any(change.error for change in outcome.changes):
        raise typer.Exit(1)
