"""Bars on a terminal; loaded with the first piece of work that is shown."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

from mlops_assets.cli.output import errors
from mlops_assets.cli.progress import fraction, outcome, state
from mlops_assets.progress import Step

NARROW = 100  # columns of a terminal below which bars are short


class Bars(Progress):
    """The pieces of work under way, read anew each time that they are drawn."""

    def __init__(self) -> None:
        self._shown: list[tuple[Step, TaskID]] = []
        super().__init__(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            BarColumn(bar_width=12 if errors.width < NARROW else 30),
            TextColumn("{task.fields[detail]}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis")),
            console=errors,
            refresh_per_second=5,
        )

    def add(self, step: Step) -> None:
        """Show a piece of work."""
        self._shown.append((step, self.add_task(step.what, total=None, detail="")))

    def finish(self, step: Step) -> bool:
        """Show how a piece of work has ended; return whether nothing is under way any more."""
        (found,) = (pair for pair in self._shown if pair[0] is step)
        self._shown.remove(found)
        done = fraction(step)
        self.update(found[1], total=1.0, completed=1.0 if done is None and not step.failed else done or 0.0,
                    detail=outcome(step))  # fmt: skip
        self.stop_task(found[1])
        return not self._shown

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the table of bars as things stand now."""
        for step, task in list(self._shown):
            done = fraction(step)
            self.update(task, total=None if done is None else 1.0, completed=done or 0.0, detail=state(step))
        yield from super().get_renderables()
