"""The command `mlops`, beside Dagster's own commands.

Commands are thin: they call the core, or run a job of the project through Dagster so that its
history has it too. They load lazily: a module of this package imports Dagster, the registry and the
core inside the function that needs them, so that help and wrong usage are reported at once.
"""

from __future__ import annotations

import io
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from typer.core import TyperGroup

from mlops_assets import __version__
from mlops_assets.cli import (
    alarms,
    backup,
    doctor,
    hub,
    inference,
    lineage,
    log,
    migrate,
    monitor,
    new_project,
    registration,
    reindex,
    serve,
    service,
    status,
    tokens,
    truth,
    verify,
    webhooks,
)
from mlops_assets.cli import gc as unneeded
from mlops_assets.cli import map as maps
from mlops_assets.cli.ci import commands as ci
from mlops_assets.cli.dataset import commands as datasets
from mlops_assets.cli.dataset import import_dvc
from mlops_assets.cli.model import commands as models
from mlops_assets.cli.model import predict
from mlops_assets.cli.run import commands as runs
from mlops_assets.cli.run import follow, import_runs, mlflow, sweep, train
from mlops_assets.cli.terminal.interruption import again, interruptible
from mlops_assets.cli.terminal.output import WIDE, errors, set_quiet
from mlops_assets.cli.terminal.progress import showing_progress
from mlops_assets.cli.up import command as up
from mlops_assets.errors import MlopsError
from mlops_assets.logs import logs_json
from mlops_assets.machine import collect_less_garbage, collect_nothing_at_exit
from mlops_assets.settings import current_environment, load_environment_file
from mlops_assets.text.printable import printable
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from typer._click import Context

GLOBAL_FLAGS = ("--debug", "--quiet", "-q")  # good before and after the name of a command
# panels and colours on a terminal; plain text that is not folded in pipes
_on_terminal = sys.stdout.isatty() and sys.stderr.isatty()


class Commands(TyperGroup):
    """The command `mlops`: its own flags may stand anywhere, and an interruption is one line."""

    def parse_args(self, ctx: Context, args: list[str]) -> list[str]:
        """Move flags of the command itself before the name of the subcommand, up to a `--`."""
        end = args.index("--") if "--" in args else len(args)
        own = [argument for argument in args[:end] if argument in GLOBAL_FLAGS]
        rest = [argument for argument in args[:end] if argument not in GLOBAL_FLAGS]
        return super().parse_args(ctx, [*own, *rest, *args[end:]])

    def invoke(self, ctx: Context) -> object:
        """Run the subcommand."""
        with interruptible(lambda: f"run the same command again: {again()}"):
            return super().invoke(ctx)


app = typer.Typer(
    name="mlops",
    cls=Commands,
    help="Training data and models as assets: commit, train, compare, promote, verify.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if _on_terminal else None,
    context_settings={} if _on_terminal else {"terminal_width": WIDE, "max_content_width": WIDE},
)
app.add_typer(datasets.app, name="dataset")
app.add_typer(runs.app, name="run")
app.add_typer(runs.app, name="runs", hidden=True)  # alias
app.add_typer(models.app, name="model")
import_runs.app.command("dvc")(import_dvc.import_dvc)
app.add_typer(maps.app, name="map")
app.add_typer(import_runs.app, name="import")
app.add_typer(alarms.app, name="alarm")
app.add_typer(backup.app, name="backup")
app.add_typer(ci.app, name="ci")
app.add_typer(inference.app, name="inference")
app.add_typer(log.app, name="log")
app.add_typer(mlflow.app, name="mlflow")
app.add_typer(monitor.app, name="monitor")
app.add_typer(registration.app, name="registration")
app.add_typer(service.app, name="service")
app.add_typer(tokens.app, name="token")
app.add_typer(truth.app, name="truth")
app.add_typer(webhooks.app, name="webhooks")
app.command("train")(train.train)
runs.app.command("resume")(train.resume)
runs.app.command("follow")(follow.follow)
runs.app.command("cancel")(follow.cancel)
app.command("sweep")(sweep.sweep)
app.command("predict")(predict.predict)
app.command("verify")(verify.verify)
app.command("lineage")(lineage.lineage)
app.command("status")(status.status)
app.command("up")(up.up)
app.command("hub")(hub.hub)
app.command("serve")(serve.serve)
app.command("init")(new_project.init)
app.command("doctor")(doctor.doctor)
app.command("restore")(backup.restore)
app.command("gc")(unneeded.gc)
app.command("reindex")(reindex.reindex)
app.command("migrate")(migrate.migrate)


@app.command("demo")
def run_demo() -> None:
    """Run the example project end to end; a second run does only the missing steps."""
    from mlops_assets.cli.demo import demo

    demo()


def _version(value: bool) -> None:
    if value:
        typer.echo(f"mlops_assets {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    ctx: typer.Context,
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of a failure."),
    quiet: bool = typer.Option(
        False, "--quiet", "-q", help="Print results and errors only; no progress, no advice."
    ),
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version."
    ),
) -> None:
    if ctx.invoked_subcommand != "doctor":  # it reports what is wrong, beside all else
        current_environment()
    set_quiet(quiet)
    if not quiet:
        ctx.with_resource(showing_progress())


_format_warning = warnings.formatwarning


def _plain_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    line: str | None = None,
) -> str:
    return redacted(printable(_format_warning(message, category, filename, lineno, line)))


class _Plain(logging.Formatter):
    """Escape log records for a terminal: GDAL's warnings quote the contents of files."""

    def format(self, record: logging.LogRecord) -> str:
        return redacted(printable(super().format(record)))


def main() -> None:
    """Run the command; a failure is one message, exit code 1; a traceback only with `--debug`."""
    collect_less_garbage()
    collect_nothing_at_exit()
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(_Plain())
    warnings.formatwarning = _plain_warning
    load_environment_file(Path.cwd())
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # names of files and classes may not fit the terminal's charset
            stream.reconfigure(errors="backslashreplace")
    try:
        app(prog_name="mlops")
    except MlopsError as error:
        if "--debug" in sys.argv:
            raise
        if logs_json():
            logging.getLogger("mlops").critical("%s", error)
            sys.exit(1)
        errors.print("error: ", style="bold red", end="")
        errors.print(redacted(str(error)))  # libraries may have put a password into it
        sys.exit(1)
    except BrokenPipeError:  # the reader has closed the pipe
        # so that nothing is left to be flushed
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
