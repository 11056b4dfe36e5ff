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


@app.callback()
def _group() -> None:
    """The mirror on an MLflow server."""  # a group, although it has one command only


@app.command()
def sync(
    model: Annotated[
        str | None,
        typer.Argument(help="Model; all if not given.", autocompletion=completion.models),
    ] = None,
    as_json: Json = False,
) -> None:
    """Mirror what the server of MLOPS_MLFLOW lacks or has in an older state.

    This covers runs, ONNX models and aliases.
    """
    from mlops_assets.progress import step

    with needs("mlflow", "mirroring to MLflow"):
        from mlops_assets.integrations.mlflow import mirror

    uri = Settings.from_environment().mlflow
    if uri is None:
        raise SettingsError("no MLflow server is named; set MLOPS_MLFLOW to its URL")
    with step("mirroring to MLflow"):
        told, problems = mirror.sync(open_store(), uri, model)
    rows = [{**asdict(run), "run_id": run.run_id if as_json else run.run_id[:8]} for run in told]
    show(
        rows,
        as_json,
        ["run_id", "model", "outcome", "url", "detail"],
        "no run yet; run 'mlops train MODEL'",
    )
    for problem in problems:
        errors.print(f"alias {problem}")
