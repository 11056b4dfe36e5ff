"""`mlops model import`: a model of anybody, as an ONNX file with a record, or as an MLM Item."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show_one
from mlops_assets.names import Reference
from mlops_assets.settings import Settings


def import_model(
    source: Annotated[
        str,
        typer.Argument(
            metavar="FILE|URL",
            help="ONNX file, with --record; or an MLM Item that has one. A path or URL.",
        ),
    ],
    model: Annotated[
        str, typer.Option(help="Name of the model here.", autocompletion=completion.models)
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="REF",
            help="Data version it is evaluated on: dataset@version or dataset@tag.",
            autocompletion=completion.data_references,
        ),
    ],
    record: Annotated[
        str | None,
        typer.Option(
            metavar="FILE|URL",
            help="Record of the ONNX file: an MLM Item, or its properties, as JSON or YAML.",
        ),
    ] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Import a model from an ONNX file, and evaluate it on the test split of a data version.

    It is compared with its record and the data first. Parity with the model it was exported from is
    not claimed.
    """
    from dataclasses import asdict

    from mlops_assets.components.events.reporting import DagsterReporter
    from mlops_assets.components.project.definitions import models_of_project
    from mlops_assets.integrations.mlm.import_model import ModelImport
    from mlops_assets.integrations.mlm.import_model import import_model as import_into

    settings = Settings.from_environment()
    store = open_store()
    found = import_into(
        store,
        ModelImport(source, record, model, Reference.parse(data), settings.user),
        models_of_project(module).get(model),
        lambda specification: DagsterReporter(store, specification, settings.dagster_home),
    )
    if as_json:
        show_one(asdict(found), as_json)
    else:
        console.print(f"{found.source}, sha256 {found.sha256}")
        for assumed in found.assumed:
            console.print(f"assumed: {assumed}")
        if found.outcome is None:
            console.print(f"{found.model}@{found.version} was imported before")
        else:
            console.print(str(found.outcome))
    if found.outcome is not None:
        found.outcome.raise_for_failure()
