"""`mlops mlflow`: the mirror on an MLflow server."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, errors, open_store, show
from mlops_assets.errors import SettingsError
from mlops_assets.extras import needs
from mlops_assets.settings import Settings

app = typer.Typer(help="The mirror on an MLflow server.", no_args_is_help=True)


# without a callback, typer makes a group of one command that command
@app.callback()
def _group() -> None:
    """The mirror on an MLflow server."""


@app.command()
def sync(
    model: Annotated[
        str | None,
        typer.Argument(help="Model; all if not given.", autocompletion=completion.models),
    ] = None,
    as_json: Json = False,
) -> None:
    """Mirror runs, ONNX models and aliases that are missing or outdated on the MLflow server.

    MLOPS_MLFLOW is the URL of the server.
    """
    from mlops_assets.progress import step

    with needs("mlflow", "mirroring to MLflow"):
        from mlops_assets.integrations.mlflow import mirror

    uri = Settings.from_environment().mlflow
    if uri is None:
        raise SettingsError("no MLflow server is named; set MLOPS_MLFLOW to its URL")
    with step("mirroring to MLflow"):
        mirrored, problems = mirror.sync(open_store(), uri, model)
    rows = [
        {**asdict(run), "run_id": run.run_id if as_json else run.run_id[:8]} for run in mirrored
    ]
    show(
        rows,
        as_json,
        ["run_id", "model", "outcome", "url", "detail"],
        "no run yet; run 'mlops train MODEL'",
    )
    for problem in problems:
        errors.print(f"alias {problem}")
