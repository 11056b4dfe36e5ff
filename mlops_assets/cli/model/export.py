"""`mlops model export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mlops_assets.choices import ModelFormat
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, advise, console, open_store, show_one
from mlops_assets.names import Reference

KSERVE = "For KServe"


def export_version(
    reference: Annotated[
        str,
        typer.Argument(
            help="model, model@version or model@alias.", autocompletion=completion.model_references
        ),
    ],
    to: Annotated[
        ModelFormat,
        typer.Option(
            "--to",
            help="dir: all files, record, examples and a README; mlflow: an MLflow model; triton: a"
            " model repository; kserve: that and an InferenceService; eotdl: what EOTDL's client"
            " ingests.",
        ),
    ],
    out: Annotated[
        Path,
        typer.Option("--out", metavar="FOLDER", help="A new or empty folder.", file_okay=False),
    ],
    url: Annotated[
        str | None,
        typer.Option(
            "--url",
            metavar="URL",
            help="Where the repository will lie, such as s3://models/crops.",
            rich_help_panel=KSERVE,
        ),
    ] = None,
    endpoint: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The S3 endpoint; AWS if none.", rich_help_panel=KSERVE),
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="ConfigMap with the certificate of its authority.",
            rich_help_panel=KSERVE,
        ),
    ] = None,
    secret: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Secret with credentials.", rich_help_panel=KSERVE),
    ] = None,
    namespace: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Namespace of the service.", rich_help_panel=KSERVE),
    ] = None,
    private: Annotated[
        bool, typer.Option("--private", help="Also if the version is private.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a recorded version in the format of other software, with the same ONNX file in each."""
    from mlops_assets.integrations.model_export import export
    from mlops_assets.integrations.model_export.kserve import ObjectStorage

    named = {"--endpoint": endpoint, "--ca": ca, "--secret": secret, "--namespace": namespace}
    used = [option for option, value in {"--url": url, **named}.items() if value is not None]
    if to != "kserve" and used:
        raise typer.BadParameter(f"{', '.join(used)}: for --to kserve only")
    if to == "kserve" and url is None:
        raise typer.BadParameter("--to kserve needs --url, such as s3://models/crops")
    storage = None if url is None else ObjectStorage(url, endpoint, ca, secret, namespace)
    store = open_store()
    row = store.registry.model_version(Reference.parse(reference))
    done = export.export_version(store, row, to, out, storage, private)
    for warning in done.warnings:
        advise(f"warning: {warning}")
    if as_json:
        found = {"model": row.model, "version": row.version, "sha256": done.sha256}
        show_one(found | {"folder": str(done.folder), "files": done.files}, as_json)
    else:
        console.print(f"{row.model}@{row.version} is in {done.folder}: {', '.join(done.files)}")
