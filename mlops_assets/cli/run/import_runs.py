"""`mlops import`: runs and models of other platforms."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mlops_assets.choices import Task
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show, show_one
from mlops_assets.errors import NameRefused, SettingsError
from mlops_assets.extras import needs
from mlops_assets.names import Reference, check_name
from mlops_assets.settings import Settings

app = typer.Typer(help="Import data, runs and models from other platforms.", no_args_is_help=True)


# without a callback, typer makes a group of one command that command
@app.callback()
def _group() -> None:
    """Import data, runs and models from other platforms."""


@app.command("mlflow")
def import_mlflow(
    experiment: Annotated[str, typer.Argument(help="Name of the experiment.")],
    dataset: Annotated[
        str,
        typer.Option(
            help="Data version that the runs were trained on: NAME@VERSION or NAME@TAG.",
            autocompletion=completion.data_references,
        ),
    ],
    tracking_uri: Annotated[
        str | None, typer.Option(help="URL of the MLflow server; MLOPS_MLFLOW if not given.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Name of the model on this platform; the experiment's if not given."),
    ] = None,
    task: Annotated[
        Task | None,
        typer.Option(
            help="Task of a model that the project does not declare; classification if not given."
        ),
    ] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Import the runs of an MLflow experiment, with all their points, and their ONNX models.

    Importing again updates the runs that were imported before. A model is compared with the ONNX
    file in MLflow, evaluated on the test split and recorded. Aliases are only listed; use 'mlops
    model promote' to move ours.
    """
    from mlops_assets.components.events.reporting import DagsterReporter
    from mlops_assets.components.project.definitions import models_of_project
    from mlops_assets.integrations.external.recording import specification_for
    from mlops_assets.progress import step

    with needs("mlflow", "importing from MLflow"):
        from mlops_assets.integrations.mlflow.import_experiment import import_experiment

    settings = Settings.from_environment({"MLOPS_MLFLOW": tracking_uri} if tracking_uri else None)
    if settings.mlflow is None:
        raise SettingsError("no MLflow server is named; give --tracking-uri, or set MLOPS_MLFLOW")
    try:
        name = check_name(model or experiment, "model")
    except NameRefused as error:
        raise NameRefused(f"{error}; choose another with --model") from error
    data = Reference.parse(dataset)
    declared = models_of_project(module).get(name)
    store = open_store()
    attributes = {} if declared and task is None else {"task": task or "classification"}
    specification = specification_for(declared, name, data.name, attributes)
    with (
        step(f"importing {experiment} from MLflow"),
        DagsterReporter(store, specification, settings.dagster_home) as reporter,
    ):
        found = import_experiment(store, settings.mlflow, experiment, data, specification, reporter)
    if as_json:
        show_one(asdict(found), as_json)
        return
    rows = [{**asdict(run), "run_id": run.run_id[:8]} for run in found.runs]
    columns = ["run_id", "mlflow_run", "outcome", "points", "left_out", "model_version", "detail"]
    show(rows, False, columns, f"experiment {experiment!r} has no run")
    if found.deleted:
        console.print(f"{found.deleted} run(s) are deleted in MLflow and were skipped")
    for alias in found.aliases:
        version = f"{name}@{alias.model_version}" if alias.model_version else "none of these runs"
        console.print(
            f"in MLflow {alias.registered_model}@{alias.alias} is version {alias.number}, on"
            f" this platform {version}; it was not imported, see 'mlops model promote'"
        )
