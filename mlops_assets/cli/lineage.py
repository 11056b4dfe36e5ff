"""`mlops model lineage` and `mlops lineage`: what was made from what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, console, open_store, show, show_one
from mlops_assets.names import Reference

if TYPE_CHECKING:
    from mlops_assets.lineage.chain import DataFile


def model_lineage(
    reference: Annotated[
        str,
        typer.Argument(
            help="model, model@version or model@alias.", autocompletion=completion.model_references
        ),
    ],
    metric: Annotated[
        str | None, typer.Option("--metric", help="Start from this metric only.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the chain behind a model version, from its metrics down to the files.

    It is printed as a Mermaid flowchart. JSON has all of it, with the sha256 of every file.
    """
    from dataclasses import asdict

    from mlops_assets.lineage.chain import model_lineage as chain_of
    from mlops_assets.lineage.mermaid import mermaid

    found = chain_of(open_store(), Reference.parse(reference), metric)
    if as_json:
        show_one(asdict(found), as_json)
    else:
        typer.echo(mermaid(found), nl=False)


def lineage(
    file: Annotated[
        str,
        typer.Option(
            "--file",
            metavar="SHA256|PATH",
            help="sha256 of a file, or a local file with its bytes.",
        ),
    ],
    as_json: Json = False,
) -> None:
    """Show where a file has landed, and the data, runs, models, maps and deployments it is in.

    Of a file of a map, the scenes it was made from, with their sha256.
    """
    from dataclasses import asdict

    from mlops_assets.lineage.files import checksum_of, file_lineage

    found = file_lineage(open_store(), checksum_of(file))
    if as_json:
        show_one(asdict(found), as_json)
        return
    console.print(f"sha256 {found.sha256}")
    for place in found.landed:
        console.print(f"landed in {place.landing} as {place.path}, {place.size:,} bytes")
    for published in found.published:
        console.print(f"published as {published.path}")
    data = [
        {"data version": use.reference, "path": file.path, "role": file.role, "samples": _in(file)}
        for use in found.data
        for file in use.files
    ]
    runs = [asdict(run) for run in found.runs]
    maps = [
        {"map": made.name, "model version": made.model, "day": made.day, "created": made.created}
        for made in found.maps
    ]
    scenes = [
        {"scene": scene.name, "asset": own.asset, "sha256": own.sha256, "href": own.href}
        for made in found.maps
        for scene in made.scenes
        for own in scene.files
        if found.sha256 in made.files.values()
    ]
    deployments = [
        asdict(made) | {"version": made.reference, "by": made.deployed_by}
        for made in found.deployments
    ]
    for title, rows, columns in (
        ("maps", maps, ["map", "model version", "day", "created"]),
        ("scenes of these maps", scenes, ["scene", "asset", "sha256", "href"]),
        ("data versions", data, ["data version", "path", "role", "samples"]),
        ("runs", runs, ["run_id", "model", "data", "status", "model_version"]),
        ("model versions", [{"model version": name} for name in found.models], ["model version"]),
        ("deployments", deployments, ["service", "version", "engine", "action", "active", "by"]),
    ):
        if not rows and (title.endswith("maps") or title == "deployments"):
            continue
        console.print(f"\n{title}: {len(rows)}")
        if rows:
            show(rows, False, columns, "")


def _in(file: DataFile) -> str:
    return ", ".join(f"{count} {split}" for split, count in file.samples.items()) or "none"
