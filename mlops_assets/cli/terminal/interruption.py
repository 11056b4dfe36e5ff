"""Interruption by Ctrl-C: the state that is kept, and the command that continues."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import typer

from mlops_assets.cli.terminal.output import errors
from mlops_assets.errors import MlopsError

INTERRUPTED = 130  # exit code of shells for a process that SIGINT has ended


@contextmanager
def interruptible(kept: Callable[[], str]) -> Iterator[None]:
    """Exit with one line when the body is interrupted.

    Args:
        kept: returns the state that is kept, and the command that continues; called only then.
    """
    try:
        yield
    except KeyboardInterrupt as interrupt:
        try:
            # one that leaves a run in other processes has a message
            left = str(interrupt) or kept()
        except MlopsError as error:
            left = f"the state of the work could not be read: {error}"
        errors.print(f"interrupted: {left}")
        raise typer.Exit(INTERRUPTED) from interrupt


def again() -> str:
    """Return the command line of this process, to be run again."""
    return shlex.join(["mlops", *sys.argv[1:]])
