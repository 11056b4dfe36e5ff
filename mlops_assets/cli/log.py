"""`mlops log`: the chained log of the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.cli.terminal.output import Json, open_store, show_one

app = typer.Typer(help="The log of all changes of the registry.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """The log of all changes of the registry.

    Entries name the principal and the changed rows, in a chain that shows any alteration.
    """


@app.command()
def head(
    sign: Annotated[
        Path | None,
        typer.Option(help="Sign it with an Ed25519 private key (PEM); prints JSON.", metavar="PEM"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Print the head of the log, SEQ:SHA256, to be stored outside the workspace.

    'mlops verify --head' checks that the log contains it.

    A head commits to every change before it: a rewritten registry and workspace cannot have a log
    that contains it.
    """
    from mlops_assets.registry.log.heads import head_of

    found = head_of(open_store().registry)
    if sign is not None:
        found = found.signed(sign)
    if sign is not None or as_json:
        show_one(found.model_dump(exclude_none=True), as_json=True)
    else:
        typer.echo(str(found))
