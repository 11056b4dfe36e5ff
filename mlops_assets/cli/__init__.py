"""The command `mlops`: what Dagster's own commands do not do.

Commands are thin: they call the core, or run a job of the project through Dagster so that its history has it too. They
load lazily: a module of this package imports Dagster, the registry and the core inside the function that needs them, so
that help and wrong usage are answered at once.
"""

from __future__ import annotations

import sys
from pathlib import Path

import typer

from mlops_assets import __version__
from mlops_assets.cli import (
    datasets,
    hub,
    importing,
    maintenance,
    mirroring,
    models,
    new_project,
    runs,
    sweeps,
    training,
)
from mlops_assets.cli.output import errors
from mlops_assets.errors import MlopsError
from mlops_assets.settings import load_environment_file

app = typer.Typer(
    name="mlops",
    help="Training data and models as assets: freeze, train, compare, promote, verify.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
)
app.add_typer(datasets.app, name="dataset")
app.add_typer(runs.app, name="runs")
app.add_typer(models.app, name="model")
app.add_typer(importing.app, name="import")
app.add_typer(mirroring.app, name="mlflow")
app.command("train")(training.train)
runs.app.command("resume")(training.resume)
app.command("sweep")(sweeps.sweep)
app.command("predict")(training.predict)
app.command("hub")(hub.hub)
app.command("init")(new_project.init)
app.command("doctor")(maintenance.doctor)


@app.command("demo")
def run_demo() -> None:
    """Run the example project end to end; run it again and it does only what is missing."""
    from mlops_assets.cli.demo import demo

    demo()


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mlops_assets {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of a failure."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Read by `main`, before the command runs."""


def main() -> None:
    """Run the command; a failure is one message, exit code 1; a traceback only with `--debug`."""
    load_environment_file(Path.cwd())
    try:
        app()
    except MlopsError as error:
        if "--debug" in sys.argv:
            raise
        errors.print("error: ", style="bold red", end="")
        errors.print(str(error), soft_wrap=True)
        sys.exit(1)
    except KeyboardInterrupt:
        errors.print("stopped")
        sys.exit(130)
