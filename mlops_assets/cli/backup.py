"""`mlops backup` and `mlops restore`: copies of the workspace and its registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal.output import Json, advise, console, open_store, show, show_one
from mlops_assets.errors import IntegrityError
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.upkeep.backup.documents import BackupDocument, BackupPlace

app = typer.Typer(
    help="Back the workspace and the registry up to a folder or bucket.", no_args_is_help=True
)
Place = Annotated[
    str, typer.Argument(metavar="PLACE", help="Folder, or URL of a folder or bucket.")
]
Name = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Name of the backup; the newest if left out.")
]


@app.command("create")
def create(
    place: Place,
    name: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Name of the backup; by its time if left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Back up the workspace and the registry, while others write.

    Content that the place has already is not copied again.
    """
    from mlops_assets.upkeep.backup.create import create_backup

    made = create_backup(open_store(), _url(place), name)
    row = _row(made.document) | {"copied": made.copied, "copied_size": made.copied_size}
    if as_json:
        show_one(row, as_json)
        return
    rows = sum(blob.rows for blob in made.document.tables.values())
    console.print(
        f"backup {made.document.name}: {made.document.files.rows} files of {made.document.size}"
        f" bytes and {rows} rows; {made.copied} contents of {made.copied_size} bytes were copied"
    )
    for note in made.document.notes:
        console.print(note, style="yellow")
    advise(f"run 'mlops backup verify {place}' to read it back")


@app.command("list")
def list_backups(place: Place, as_json: Json = False) -> None:
    """List backups, oldest first."""
    opened = _place(place)
    documents = sorted(map(opened.read, opened.names()), key=lambda found: found.created)
    rows = [_row(document) for document in documents]
    show(rows, as_json, ["name", "created", "files", "size", "head", "release"], "no backup")


@app.command("verify")
def verify(place: Place, name: Name = None, as_json: Json = False) -> None:
    """Read a backup back, and compare all of it with its checksums.

    Exits with 1 if anything differs.
    """
    from mlops_assets.upkeep.backup.verify import verify_backup

    found = verify_backup(_place(place), name)
    if as_json:
        passed = not found.problems
        show_one(_row(found.document) | {"passed": passed, "problems": found.problems}, as_json)
    if found.problems:
        listed = "\n".join(f"  - {problem}" for problem in found.problems)
        raise IntegrityError(f"backup {found.document.name} is not as it was written:\n{listed}")
    if not as_json:
        console.print(
            f"backup {found.document.name}: {found.document.files.rows} files and"
            f" {len(found.document.tables)} tables, all as they were written"
        )


def restore(
    place: Place,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="NAME", help="Name of the backup; the newest if left out."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Restore a backup into an empty workspace and an empty registry.

    They may be of another kind: a bucket instead of a folder, PostgreSQL instead of SQLite. A
    restore that was interrupted is continued by the same command.
    """
    from mlops_assets.storage import Workspace
    from mlops_assets.text.secret_urls import redacted
    from mlops_assets.upkeep.backup.restore import restore_backup

    settings = Settings.from_environment()
    workspace = Workspace(settings.workspace, settings.cache)
    found = restore_backup(_place(place), workspace, settings.registry, settings.principal, at)
    if as_json:
        show_one(_row(found.document) | {"written": found.written, "rows": found.rows}, as_json)
        return
    console.print(
        f"{redacted(settings.workspace)} and {redacted(settings.registry)} are restored from"
        f" {found.document.name}: {found.document.files.rows} files,"
        f" {sum(found.rows.values())} rows"
    )
    for note in found.document.notes:
        console.print(note, style="yellow")
    advise("run 'mlops verify' to compare every file with the registry")


def _url(place: str) -> str:
    """Return the URL of a place, which may be a path."""
    from mlops_assets.settings import workspace_url

    return workspace_url(place, Path.cwd())


def _place(place: str) -> BackupPlace:
    from mlops_assets.upkeep.backup.documents import BackupPlace

    return BackupPlace(_url(place), Settings.from_environment().cache)


def _row(document: BackupDocument) -> dict[str, object]:
    head = document.head
    return {
        "name": document.name,
        "created": document.created.isoformat(timespec="seconds"),
        "created_by": document.created_by,
        "files": document.files.rows,
        "size": document.size,
        "head": None if head is None else f"{head[0]}:{head[1]}",
        "release": document.release,
        "digest": document.digest,
        "notes": list(document.notes),
    }
