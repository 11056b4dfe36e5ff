"""`mlops map`: maps that were made, and what they were made from."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, open_store, show, show_one
from mlops_assets.names import Reference

app = typer.Typer(help="Maps that model versions have made.", no_args_is_help=True)
_COLUMNS = ("name", "model", "version", "day", "outside", "created", "created_by")

Name = Annotated[str, typer.Argument(help="Name of the map, or id of its STAC Item.")]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="REF",
        help="Only by this model version: model@version or model@alias.",
        autocompletion=completion.model_references,
    ),
]


@app.command("list")
def list_maps(
    model: Annotated[
        str | None,
        typer.Argument(
            help="model, model@version or model@alias; all if not given.",
            autocompletion=completion.model_references,
        ),
    ] = None,
    area: Annotated[str | None, typer.Option(help="Only of this area.")] = None,
    day: Annotated[
        str | None, typer.Option(metavar="YYYY-MM-DD", help="Only of this day of acquisition.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="Maps at most.")] = 100,
    skip: Annotated[int, typer.Option(min=0, help="Newest maps to leave out.")] = 0,
    as_json: Json = False,
) -> None:
    """List maps, newest first."""
    from mlops_assets.registry import Map
    from mlops_assets.registry.records.maps import MapFilter

    store = open_store()
    name = version = None
    if model is not None:
        reference = Reference.parse(model)
        row = store.registry.model_version(reference)
        name, version = row.model, None if reference.what is None else row.version
    wanted = MapFilter(model=name, version=version, area=area, day=day)
    columns = [column.name for column in Map.__table__.columns]
    rows = [
        {column: getattr(found, column) for column in columns}
        for found in store.registry.maps(wanted, limit, skip)
    ]
    is_limited = any(chosen is not None for chosen in (model, area, day)) or skip > 0
    none = "no such map; see 'mlops map list'" if is_limited else "no map yet; run 'mlops predict'"
    show(rows, as_json, _COLUMNS, none)


@app.command("show")
def show_map(name: Name, model: Model = None, as_json: Json = False) -> None:
    """Show a map: its model version, scenes and files, with the sha256 of each.

    The newest one of that name is shown.
    """
    from dataclasses import asdict

    from mlops_assets.lineage.maps import find_map, map_lineage

    store = open_store()
    row = find_map(store, name, None if model is None else Reference.parse(model))
    show_one(asdict(map_lineage(store, row)), as_json)


@app.command("lineage")
def lineage(name: Name, model: Model = None, as_json: Json = False) -> None:
    """Show the chain behind a map, down to its scenes and to the files its model was trained on.

    It is printed as a Mermaid flowchart. JSON has all of it, with the sha256 of every file.
    """
    from dataclasses import asdict

    from mlops_assets.lineage.chain import model_lineage
    from mlops_assets.lineage.maps import find_map, map_lineage
    from mlops_assets.lineage.mermaid import map_mermaid

    store = open_store()
    row = find_map(store, name, None if model is None else Reference.parse(model))
    made = map_lineage(store, row)
    behind = model_lineage(store, Reference(row.model, row.version))
    if as_json:
        show_one({**asdict(made), "chain": asdict(behind)}, as_json)
    else:
        typer.echo(map_mermaid(made, behind), nl=False)
