"""`mlops model use`: a model version of another workspace, without a copy."""

from __future__ import annotations

from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show_one
from mlops_assets.names import Reference
from mlops_assets.settings import Settings


def use_model(
    record: Annotated[
        str,
        typer.Argument(
            metavar="URL",
            help="Its Item there: <workspace>/catalog/models/NAME/VERSION/VERSION.json",
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
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Use a model version of another workspace; its ONNX file stays there.

    It is evaluated on the test split of a data version here, and each use compares its checksum.
    Its signatures there are verified by MLOPS_TRUST.
    """
    from mlops_assets.components.events.reporting import DagsterReporter
    from mlops_assets.components.project.definitions import models_of_project
    from mlops_assets.integrations.shared_models.use import ModelUse
    from mlops_assets.integrations.shared_models.use import use_model as use

    settings = Settings.from_environment()
    store = open_store()
    found = use(
        store,
        ModelUse(record, model, Reference.parse(data), settings.user),
        models_of_project(module).get(model),
        lambda specification: DagsterReporter(store, specification, settings.dagster_home),
    )
    if as_json:
        show_one(found.document(), as_json)
    else:
        console.print(
            f"{found.model}@{found.version} is {found.shared.reference} of {found.shared.workspace}"
        )
        for note in found.notes:
            console.print(f"note: {note}")
        if found.outcome is None:
            added = f"; new signatures: {', '.join(found.signatures)}" if found.signatures else ""
            console.print(f"it was used before{added}")
        else:
            console.print(str(found.outcome))
    if found.outcome is not None:
        found.outcome.raise_for_failure()
