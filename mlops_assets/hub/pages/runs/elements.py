"""Elements of the pages of runs that fetch what they show from the REST API by themselves.

So neither the memory of the server nor the connection of a page holds tables, curves and logs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nicegui import ui
from nicegui.element import Element

# they register the libraries that our scripts import
from nicegui.elements.aggrid import AgGrid  # noqa: F401
from nicegui.elements.echart import EChart  # noqa: F401
from nicegui.events import GenericEventArguments

from mlops_assets import hub as package
from mlops_assets.hub.pages.frame import STATIC

FOLDER = Path(package.__file__).parent / "static"


def style() -> None:
    """Load the style of the pages of runs."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}/runs.css">')


class RunGrid(Element, component=FOLDER / "run_table.js"):
    """The table of runs, which loads the rows that are in sight."""

    def __init__(self, columns: Sequence[str], query: dict[str, str | None] | None) -> None:
        """Show runs.

        Args:
            columns: names of the columns after that of the run.
            query: parameters of `GET /api/v1/runs`: `where`, `sort`, `model`, …; None for no run.
        """
        super().__init__()
        self.props["columns"] = list(columns)
        self.props["query"] = query

    def ask(self, columns: Sequence[str], query: dict[str, str | None] | None) -> None:
        """Show other runs, or other columns, from the top."""
        self.run_method("ask", query, list(columns))

    def refresh(self) -> None:
        """Load again the rows that are in sight."""
        self.run_method("refresh")

    def deselect(self) -> None:
        """Select no run."""
        self.run_method("deselect")

    def listen(self, event: str, handle: Callable[[Any], object]) -> None:
        """Call a function with what an event of the table has: such as `loaded` or `problem`."""

        def forward(arguments: GenericEventArguments) -> object:
            return handle(arguments.args)

        self.on(event, forward)


class RunCurves(Element, component=FOLDER / "run_curves.js"):
    """Curves of the metrics of runs, which grow while a run is under way."""

    def __init__(self, runs: Mapping[str, str], nothing: str = "No metric was logged.") -> None:
        """Show curves.

        Args:
            runs: id of each run → its label.
            nothing: shown if there is no curve.
        """
        super().__init__()
        self.props["runs"] = [{"id": run_id, "label": label} for run_id, label in runs.items()]
        self.props["nothing"] = nothing

    def on_ended(self, handle: Callable[[], object]) -> None:
        """Call a function once a run that was under way has ended."""

        def forward(_arguments: GenericEventArguments) -> object:
            return handle()

        self.on("ended", forward)


class RunOutputView(Element, component=FOLDER / "run_output.js"):
    """What a run has printed, followed while it is under way."""

    def __init__(self, run_id: str) -> None:
        """Show the output of a run."""
        super().__init__()
        self.props["run"] = run_id
