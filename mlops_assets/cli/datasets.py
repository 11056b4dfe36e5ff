"""`mlops dataset`: freeze, list, show, tag."""

from __future__ import annotations

from typing import Annotated, Any

import dagster as dg
import typer

from mlops_assets.cli.output import Json, Module, console, open_store, show, show_one
from mlops_assets.names import Reference, check_label, check_name
from mlops_assets.registry import DataVersion, Registry
from mlops_assets.settings import Settings

app = typer.Typer(help="Training data and its versions.", no_args_is_help=True)


@app.command()
def commit(
    name: Annotated[str, typer.Argument(help="Dataset.")],
    tag: Annotated[str | None, typer.Option(help="Tag to give the version.")] = None,
    module: Module = None,
) -> None:
    """Freeze the landing into a data version; content that is known gives its version again."""
    from mlops_assets.components.launching import open_project

    check_name(name, "dataset name")
    if tag is not None:
        check_label(tag, "tag")
    with open_project(Settings.from_environment(), module) as project:
        project.require(dg.AssetKey([name, "landing"]))
        result = project.launch(f"{name}_landing")
        metadata = result.asset_materializations_for_node(f"{name}__landing")[0].metadata
    version, new = str(metadata["data_version"].value), bool(metadata["new"].value)
    if tag is not None:
        open_store().registry.tag(name, version, tag)
    verdict = "is new" if new else "is what the landing holds already; nothing new"
    files, samples = metadata["files"].value, metadata["samples"].value
    console.print(
        f"{name}@{version} {verdict}: {files} file(s), {samples} sample(s), digest {metadata['digest'].value}",
        soft_wrap=True,
    )
    notes: Any = metadata["notes"].value
    for note in notes:
        console.print(f"  note: {note}")


@app.command("list")
def list_versions(
    name: Annotated[str | None, typer.Argument(help="Dataset; all if not given.")] = None, as_json: Json = False
) -> None:
    """List data versions, oldest first."""
    registry = open_store().registry
    rows = [describe(registry, row) for row in registry.data_versions(name)]
    columns = ["dataset", "version", "tags", "files", "samples", "size", "digest"]
    if not as_json:
        rows = [{**row, "digest": f"{row['digest'][:12]}…"} for row in rows]
    show(rows, as_json, columns, "no data version yet; land files and run 'mlops dataset commit NAME'")


@app.command("show")
def show_version(
    reference: Annotated[str, typer.Argument(help="dataset, dataset@version or dataset@tag.")], as_json: Json = False
) -> None:
    """Show one data version, the newest if none is named."""
    store = open_store()
    row = store.registry.data_version(Reference.parse(reference))
    files = store.registry.files(f"data:{row.dataset}@{row.version}")
    more = {"splits": row.counts, "created_by": row.created_by, "specification": row.specification,
            "stored": [file.path for file in files]}  # fmt: skip
    show_one(describe(store.registry, row) | more, as_json)


@app.command()
def tag(
    reference: Annotated[str, typer.Argument(help="dataset@version.")],
    name: Annotated[str, typer.Argument(help="Tag.")],
) -> None:
    """Give a data version a second name, e.g. harvest-2024."""
    wanted = Reference.parse(reference)
    if wanted.what is None:
        raise typer.BadParameter(f"say which version of {wanted.name}, e.g. {wanted.name}@v1")
    registry = open_store().registry
    row = registry.data_version(wanted)
    registry.tag(row.dataset, row.version, name)
    console.print(f"{row.dataset}@{name} is {row.dataset}@{row.version}")


def describe(registry: Registry, row: DataVersion) -> dict[str, Any]:
    """Return a data version as listings give it."""
    return {
        "dataset": row.dataset,
        "version": row.version,
        "digest": row.digest,
        "tags": sorted(tag for tag, version in registry.tags(row.dataset).items() if version == row.version),
        "files": row.files,
        "samples": row.samples,
        "size": row.size,
        "created": row.created,
    }
