"""`mlops model reproduce`: a model version trained again from its record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show_one
from mlops_assets.names import Reference
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.runs.reproduce import Match, Reproduction

MAX_LISTED = 20  # changes; JSON has all


def reproduce_version(
    reference: Annotated[
        str,
        typer.Argument(
            help="model@version or model@alias; the newest if none is named.",
            autocompletion=completion.model_references,
        ),
    ],
    allow_changes: Annotated[
        bool,
        typer.Option(
            "--allow-changes", help="Train even though the code or the declaration has changed."
        ),
    ] = False,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Train a model version again from its record, and compare its artefacts and metrics.

    Exits with 0 only if they match.
    """
    from mlops_assets.orchestration.project import open_project
    from mlops_assets.runs.reproduce import reproduce

    store = open_store()
    row = store.registry.model_version(Reference.parse(reference))
    with open_project(Settings.from_environment(), module) as project:
        specification = project.model(row.model)
    with interruptible(lambda: f"nothing was published; run the same command again: {again()}"):
        found = reproduce(store, specification, row, allow_changes)
    if as_json:
        show_one(found.document(), as_json=True)
    else:
        _print(found)
    if not found.matches:
        raise typer.Exit(1)


def _print(found: Reproduction) -> None:
    from mlops_assets.cli.run.compare import print_table

    original = f"{found.original.model}@{found.original.version}"
    reproduction = f"{found.made.model}@{found.made.version}"
    if found.changes:
        console.print("changed since it was recorded", style="bold")
        for change in found.changes[:MAX_LISTED]:
            console.print(f"  {change}")
        if len(found.changes) > MAX_LISTED:
            console.print(f"  … and {len(found.changes) - MAX_LISTED} more; --json has them all")
        console.print()
    rows: list[list[str | float | None]] = [
        [match.what, _short(match.recorded), _short(match.now), _verdict(match)]
        for match in found.artefacts
    ]
    rows += [[match.what, match.recorded, match.now, _verdict(match)] for match in found.metrics]
    print_table(["", found.original.version, found.made.version, ""], rows, "")
    results = [
        f"artefacts {'match' if found.same_artefacts else 'differ'}",
        f"metrics {'match' if found.same_metrics else 'differ'}",
    ]
    outcome = "is reproduced" if found.matches else "is NOT reproduced"
    console.print(f"\n{original} {outcome} by {reproduction}: {', '.join(results)}")


def _verdict(match: Match[str] | Match[float]) -> str:
    from mlops_assets.runs.reports.formatting import delta

    if match.equal:
        return "same"
    recorded = match.recorded
    now = match.now
    if isinstance(recorded, (int, float)) and isinstance(now, (int, float)):
        return delta(now - recorded)
    return "differs"


def _short(digest: str | None) -> str | None:
    return digest and digest[:12]
