"""Runs that commands launch: the project that they are of, and those that nobody waits for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal.output import advise, console, show_one
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.orchestration.project import Project

Detach = Annotated[
    bool,
    typer.Option(
        "--detach",
        help="Submit the run, print its id and do not wait; needs MLOPS_LAUNCH=instance.",
    ),
]


@contextmanager
def open_project(module: str | None) -> Iterator[Project]:
    """Load a project whose runs report to the terminal.

    Args:
        module: of `--module`.

    Raises:
        NotFound: the module cannot be imported or has no definitions.
    """
    from mlops_assets.orchestration.project import open_project

    with open_project(Settings.from_environment(), module, advise) as project:
        yield project


def print_submitted(run_id: str, as_json: bool = False) -> None:
    """Print the id of a run that was submitted, and how to follow it.

    Args:
        run_id: of the Dagster run.
        as_json: print JSON.
    """
    if as_json:
        show_one({"orchestration_run": run_id}, as_json)
        return
    console.print(run_id)
    name = run_id[:8]
    advise(f"to follow it: mlops run follow {name}; to cancel it: mlops run cancel {name}")
