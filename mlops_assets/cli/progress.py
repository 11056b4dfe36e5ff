"""Progress bars for people: on stderr, where a person looks, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from mlops_assets.cli.output import errors


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int], Callable[[int], None]]]:
    """Give what is told of each piece of work, what it is and how many files, and returns what is told of more."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, disable=not errors.is_terminal) as bars:

        def begin(what: str, files: int) -> Callable[[int], None]:
            task = bars.add_task(what, total=files)
            return lambda more: bars.advance(task, more)

        yield begin
