"""Progress bars on a terminal, loaded with the first step."""

from __future__ import annotations

from collections.abc import Iterable

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.table import Column

from mlops_assets.cli.terminal.progress import fraction, outcome, state
from mlops_assets.progress import Step
from mlops_assets.text.printable import printable

NARROW = 100  # columns of a terminal below which bars are short


class Bars(Progress):
    """The running steps, read again each time that they are drawn."""

    def __init__(self, console: Console) -> None:
        self._bars: list[tuple[Step, TaskID]] = []
        bar = 12 if console.width < NARROW else 30
        what = max(16, (console.width - bar) // 3)
        super().__init__(
            SpinnerColumn(finished_text=" "),
            TextColumn("{task.description}", markup=False, table_column=_column(what)),
            BarColumn(bar_width=bar),
            TextColumn(
                "{task.fields[detail]}",
                markup=False,
                table_column=_column(max(1, console.width - what - bar - 6)),
            ),
            console=console,
            refresh_per_second=5,
            redirect_stdout=False,  # results are not progress
        )

    def add(self, step: Step) -> None:
        """Show a step."""
        self._bars.append((step, self.add_task(printable(step.what), total=None, detail="")))

    def finish(self, step: Step) -> bool:
        """Show the outcome of a step; return True if no step is running any more."""
        (found,) = (pair for pair in self._bars if pair[0] is step)
        self._bars.remove(found)
        done = fraction(step)
        self.update(
            found[1],
            total=1.0,
            completed=1.0 if done is None and not step.failed else done or 0.0,
            detail=printable(outcome(step)),
        )
        self.stop_task(found[1])
        return not self._bars

    def get_renderables(self) -> Iterable[RenderableType]:
        """Yield the table of bars in their current state."""
        for step, task in list(self._bars):
            done = fraction(step)
            self.update(
                task,
                total=None if done is None else 1.0,
                completed=done or 0.0,
                detail=printable(state(step)),
            )
        yield from super().get_renderables()


def _column(width: int) -> Column:
    return Column(no_wrap=True, overflow="ellipsis", max_width=width)
