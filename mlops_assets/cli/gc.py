"""`mlops gc`: files of the workspace that nothing needs any more, counted and removed."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.cli.terminal.output import Json, advise, console, open_store, show, show_one
from mlops_assets.settings import Settings


def gc(
    delete: Annotated[
        bool, typer.Option("--delete", help="Remove the files; without it they are counted only.")
    ] = False,
    objects_days: Annotated[
        float,
        typer.Option(min=0.04, help="Age of objects, packs and staged files, in days."),
    ] = 1.0,
    succeeded_days: Annotated[
        float,
        typer.Option(min=0, help="Days since the end of a run that succeeded or was pruned."),
    ] = 7.0,
    unfinished_days: Annotated[
        float,
        typer.Option(min=1, help="Days since the end of a run that failed or was canceled."),
    ] = 90.0,
    parts_days: Annotated[
        float, typer.Option(min=1, help="Age of parts of maps that were not published, in days.")
    ] = 30.0,
    steps_days: Annotated[
        float, typer.Option(min=1, help="Age of values that steps have handed on, in days.")
    ] = 30.0,
    wait: Annotated[
        float, typer.Option(min=0, help="Seconds to wait for commits and runs that store objects.")
    ] = 600.0,
    keys: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to write the keys to, one a line.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count the files that nothing needs any more, and remove them with --delete.

    These are objects that no data version and no run names, checkpoints of runs that ended long
    ago, and what unfinished work has left. Published files are never removed.
    """
    import dagster as dg

    from mlops_assets.components.project.home import prepare_home
    from mlops_assets.components.project.unfinished_runs import unfinished_runs
    from mlops_assets.upkeep.gc import collect
    from mlops_assets.upkeep.rules import Rules

    settings = Settings.from_environment()
    store = open_store()
    rules = Rules(
        *(
            timedelta(days=days)
            for days in (objects_days, succeeded_days, unfinished_days, parts_days, steps_days)
        )
    )
    with ExitStack() as stack:
        home = str(prepare_home(settings.dagster_home))
        instance = stack.enter_context(dg.DagsterInstance.from_config(home))
        file = None if keys is None else stack.enter_context(keys.open("w"))
        found = collect(
            store,
            rules,
            unfinished_runs(instance),
            delete,
            wait,
            None if file is None else lambda key: print(key, file=file),
        )
    rows = [
        {"kind": tally.kind, "files": tally.files, "bytes": tally.size, "rule": tally.rule}
        | {"examples": tally.examples}
        for tally in found
    ]
    if as_json:
        show_one({"deleted": delete, "kinds": rows}, as_json)
        return
    show(rows, False, ["kind", "files", "bytes", "rule"], "")
    files, size = sum(tally.files for tally in found), sum(tally.size for tally in found)
    if delete:
        console.print(f"{files} file(s) of {size} bytes were removed")
    else:
        console.print(f"{files} file(s) of {size} bytes are not needed; nothing was removed")
        if files:
            advise("run 'mlops gc --delete' to remove them")
