"""`mlops migrate`: records of earlier releases, written as this one writes them."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, advise, console, open_store, show_one
from mlops_assets.errors import IntegrityError

MAX_LINES = 20  # of a document; JSON has all


def migrate(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME",
            help="Datasets and models; all if none is given.",
            autocompletion=completion.datasets,
        ),
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Write the records; without it, nothing is written.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Migrate STAC records of earlier releases: list what would change, and write it on request.

    Titles, licences and other descriptions stay as the records have them. Exits with 1 if a record
    cannot be written.
    """
    from mlops_assets.stac.migration.migrate import migrate_records

    found = []
    for record in migrate_records(open_store(), names or [], apply):
        found.append(record)
        if as_json:
            continue
        for key, changes in record.documents.items():
            console.print(key)
            for line in changes[:MAX_LINES]:
                console.print(f"  {line}")
            if len(changes) > MAX_LINES:
                console.print(f"  and {len(changes) - MAX_LINES} more values; --json lists them")
    documents = sum(len(record.documents) for record in found)
    if as_json:
        rows = [record.document() for record in found]
        show_one({"written": apply, "documents": documents, "records": rows}, as_json)
    elif documents:
        console.print(f"{documents} document(s) {'are written' if apply else 'would be written'}")
        if not apply:
            advise("nothing is written yet; add --apply to write them")
    else:
        console.print("all records are as this release writes them")
    failed = [f"  - {record.subject}: {record.error}" for record in found if record.error]
    if failed:
        raise IntegrityError("\n".join(["these records cannot be written:", *failed]))
