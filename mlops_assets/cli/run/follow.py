"""`mlops run follow` and `mlops run cancel`: runs that other processes execute."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.dataset.assess import failed_lines
from mlops_assets.cli.run.train import print_outcome
from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.interruption import interruptible
from mlops_assets.cli.terminal.output import advise, console, open_store
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from dagster import DagsterInstance

RunName = Annotated[
    str,
    typer.Argument(
        metavar="RUN",
        help="Id of a Dagster run or of a training run, or its beginning.",
        autocompletion=completion.run_ids,
    ),
]


def follow(run: RunName) -> None:
    """Follow a run that a daemon or a cluster executes, to its end.

    Exits with 1 if it fails, as the command that submitted it does. Ctrl-C leaves it running.
    """
    from mlops_assets.orchestration.following.find import find_run
    from mlops_assets.orchestration.following.follow import Follower
    from mlops_assets.orchestration.following.interrupts import Interrupts
    from mlops_assets.orchestration.results import StepFailure

    registry = open_store().registry
    with _instance() as instance:
        found = find_run(instance, registry, run)
        try:
            with (
                interruptible(lambda: f"run {found.run_id[:8]} was cancelled"),
                Interrupts(found.run_id, cancel=False) as interrupts,
            ):
                result = Follower(instance, registry, advise).follow(found.run_id, interrupts)
        except StepFailure as failure:
            for line in failed_lines([check for check in failure.checks if not check.blocking]):
                console.print(line)
            print_outcome(None, failure.run_id or found.run_id, as_json=False)
            raise
    for made in result.materializations:
        of = f" of {made.partition}" if made.partition else ""
        console.print(f"{made.asset_key.to_user_string()}{of} is materialised")
    for line in failed_lines(result.checks):
        console.print(line)
    print_outcome(None, result.run_id, as_json=False)


def cancel(run: RunName) -> None:
    """Cancel a run that is queued or under way; a training keeps its newest checkpoint.

    Needs the role scientist.
    """
    from mlops_assets.orchestration.following.find import find_run
    from mlops_assets.orchestration.stop import cancel_run
    from mlops_assets.principals import Role

    registry = open_store().registry
    registry.principal.require(Role.SCIENTIST, "stop run")
    with _instance() as instance:
        found = find_run(instance, registry, run)
        cancel_run(instance, found)
        console.print(f"run {found.run_id[:8]} of {found.job_name} is being cancelled")


@contextmanager
def _instance() -> Iterator[DagsterInstance]:
    import dagster as dg

    from mlops_assets.components.project.home import prepare_home

    home = prepare_home(Settings.from_environment().dagster_home)
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance
