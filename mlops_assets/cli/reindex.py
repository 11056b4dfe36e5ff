"""`mlops reindex`: rebuild a lost registry from the workspace."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal.output import Json, advise, console, show_one
from mlops_assets.settings import Settings


def reindex(
    into: Annotated[
        str | None,
        typer.Option(
            "--into", metavar="URL", help="Registry to write instead of the configured one."
        ),
    ] = None,
    until: Annotated[
        int | None,
        typer.Option(
            "--until",
            metavar="SEQ",
            min=1,
            help="Newest entry of the log to replay; later entries are set aside.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rebuild a lost registry from the workspace.

    The source is its log, or the published documents if there is no log.
    """
    from mlops_assets.reindex.reindex import reindex as rebuild
    from mlops_assets.storage import Workspace
    from mlops_assets.text.secret_urls import redacted

    settings = Settings.from_environment()
    url = into or settings.registry
    found = rebuild(Workspace(settings.workspace, settings.cache), url, settings.principal, until)
    source = (
        "documents"
        if found.head is None
        else f"the log, of which entry {found.head[0]} is the newest: {found.head[1]}"
    )
    rows = ", ".join(
        f"{count} {name.replace('_', ' ')}" for name, count in found.rows.items() if count
    )
    if as_json:
        head = None if found.head is None else {"seq": found.head[0], "sha256": found.head[1]}
        show_one(
            {
                "registry": redacted(url),
                "head": head,
                "rows": found.rows,
                "unproven": found.unproven,
            },
            as_json,
        )
        return
    console.print(f"{redacted(url)} is rebuilt from {source}")
    console.print(f"it has {rows}")
    for line in found.unproven:
        console.print(f"not proven: {line}", style="yellow")
    advise("run 'mlops verify' to compare every file with it")
