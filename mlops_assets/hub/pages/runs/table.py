"""The page with the table of all runs."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from urllib.parse import urlencode

from nicegui import ui

from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.hub.pages.caller import perform, principal, read
from mlops_assets.hub.pages.frame import page
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.parts.cards import empty, title
from mlops_assets.hub.pages.parts.texts import number, text
from mlops_assets.hub.pages.runs.elements import RunGrid, style
from mlops_assets.hub.rest.runs.history import split_names
from mlops_assets.hub.views.runs.changes import newest_change
from mlops_assets.hub.views.runs.comparison import MAX_RUNS
from mlops_assets.hub.views.runs.table import (
    MAX_COLUMNS,
    PAGE,
    run_columns,
    run_models,
    run_table,
    usual_columns,
)
from mlops_assets.registry.search.run_search import NEWEST, RunQuery

STATUSES = ("running", "succeeded", "failed", "canceled", "pruned")
EXAMPLE = "macro_f1 > 0.8 and params.learning_rate < 0.01"


@dataclass(frozen=True)
class Asked:
    """What the table shows, as the address of the page has it."""

    model: str = ""
    where: str = ""
    sort: str = NEWEST
    status: str = ""
    mine: bool = False
    columns: tuple[str, ...] = ()

    def question(self, user: str) -> RunQuery:
        """Return the question for the registry."""
        return RunQuery(
            self.model or None,
            self.where.strip() or None,
            self.sort,
            self.status or None,
            user if self.mine else None,
        )

    def parameters(self, user: str) -> dict[str, str | None]:
        """Return the parameters of the REST API."""
        found = self.question(user)
        return {
            "model": found.model,
            "where": found.where,
            "sort": found.sort,
            "status": found.status,
            "created_by": found.created_by,
        }

    @property
    def address(self) -> str:
        """The address of the page that shows this."""
        given = {
            "model": self.model,
            "where": self.where,
            "sort": "" if self.sort == NEWEST else self.sort,
            "status": self.status,
            "mine": "1" if self.mine else "",
            "columns": joined(self.columns),
        }
        found = {name: value for name, value in given.items() if value}
        return f"/runs?{urlencode(found)}" if found else "/runs"


def joined(names: tuple[str, ...]) -> str:
    """Return names with commas between, those that have one in quotes."""
    return ",".join(f'"{name}"' if "," in name else name for name in names)


@dataclass
class _State:
    """What a page shows at present."""

    asked: Asked
    revision: int = 0
    selected: list[str] = field(default_factory=list)


@page("/runs", "Runs")
async def runs(
    model: str = "",
    where: str = "",
    sort: str = NEWEST,
    status: str = "",
    mine: str = "",
    columns: str = "",
) -> None:
    """Build the page."""
    asked = Asked(model, where, sort or NEWEST, status, bool(mine), split_names(columns))
    style()
    models = await read(run_models)
    with ui.element("div").classes("run-title"):
        title("Runs")
        ui.link("Start a training", "/train").classes("hub-button")
    if not models:
        empty(
            "There is no run yet. Train a model; its run is here from its first second.",
            "mlops train MODEL",
        )
        return
    await _Table(_State(asked), models).build()


class _Table:
    """The table with what chooses its rows and columns."""

    def __init__(self, state: _State, models: list[str]) -> None:
        self._state = state
        self._models = models
        self._user = principal().name

    async def build(self) -> None:
        """Add the elements."""
        self._filters()
        with ui.element("div").classes("run-bar"):
            self._total = text("p", "", "hub-note")
            self._total.props["role"] = "status"
            ui.element("div").classes("hub-grow")
            self._compare = ui.button("Compare", on_click=self._to_comparison)
            self._compare.props("no-caps unelevated dense padding='4px 12px'").disable()
            self._compare.tooltip(f"Select 2 to {MAX_RUNS} runs")
            ui.button("Columns", on_click=self._choose_columns).props(
                "no-caps outline dense padding='4px 12px'"
            )
            self._csv = ui.link("CSV", "").classes("hub-button").props("download")
        shown, parameters = await self._prepared()
        self._grid = RunGrid(shown, parameters)
        self._grid.classes("run-grid")
        self._grid.listen("loaded", self._loaded)
        self._grid.listen("problem", self._problem)
        self._grid.listen("sorted", self._sorted)
        self._grid.listen("selected", self._selected)
        self._grid.listen("arranged", self._arranged)
        self._link_csv()
        on_change(self._refresh)

    def _filters(self) -> None:
        asked = self._state.asked
        with ui.element("form").classes("run-filters").props("role=search") as form:
            form.on("submit.prevent", self._apply)
            self._where = ui.input("Filter", value=asked.where)
            self._where.props(f'outlined dense clearable maxlength=4000 hint="e.g. {EXAMPLE}"')
            self._where.classes("run-where")
            self._where.on("clear", self._apply)
            self._model = ui.select(
                {"": "all models", **{name: name for name in self._models}},
                value=asked.model if asked.model in self._models else "",
                label="Model",
                on_change=self._apply,
            ).props("outlined dense")
            self._status = ui.select(
                {"": "any status", **{name: name for name in STATUSES}},
                value=asked.status if asked.status in STATUSES else "",
                label="Status",
                on_change=self._apply,
            ).props("outlined dense")
            self._mine = ui.checkbox("My runs", value=asked.mine, on_change=self._apply)
            ui.button("Apply").props("type=submit no-caps unelevated padding='6px 16px'")

    async def _apply(self) -> None:
        self._show(
            replace(
                self._state.asked,
                where=str(self._where.value or ""),
                model=str(self._model.value or ""),
                status=str(self._status.value or ""),
                mine=bool(self._mine.value),
            )
        )
        await self._ask()

    def _show(self, asked: Asked) -> None:
        self._state.asked = asked
        ui.navigate.history.replace(asked.address)
        self._link_csv()

    async def _ask(self) -> None:
        shown, parameters = await self._prepared()
        self._grid.ask(shown, parameters)

    async def _prepared(self) -> tuple[tuple[str, ...], dict[str, str | None] | None]:
        """Return columns, and what the table asks for: nothing if it would be refused.

        The first rows are read here, which the server then has.
        """
        asked = self._state.asked
        question = asked.question(self._user)
        try:
            columns = asked.columns[:MAX_COLUMNS] or await read(usual_columns, question)
            await read(run_table, question, 0, PAGE, columns)
        except (SpecificationError, NotFound) as error:
            self._problem(str(error))
            return await read(usual_columns, RunQuery(question.model)), None
        self._where.error = None
        return columns, asked.parameters(self._user)

    def _link_csv(self) -> None:
        asked = self._state.asked
        given = {**asked.parameters(self._user), "columns": joined(asked.columns)}
        found = {name: value for name, value in given.items() if value}
        self._csv.props["href"] = f"/api/v1/runs.csv?{urlencode(found)}"

    def _loaded(self, found: dict[str, int]) -> None:
        self._state.revision = max(self._state.revision, int(found["revision"]))
        self._where.error = None
        count = int(found["total"])
        self._total.text = f"{number(count)} run{'' if count == 1 else 's'}"

    def _problem(self, detail: str) -> None:
        self._where.error = str(detail)
        self._total.text = "The filter or order cannot be used."

    def _sorted(self, order: str) -> None:
        self._show(replace(self._state.asked, sort=str(order)))

    def _arranged(self, names: list[str]) -> None:
        self._show(replace(self._state.asked, columns=tuple(map(str, names))))

    def _selected(self, run_ids: list[str]) -> None:
        self._state.selected = [str(run_id) for run_id in run_ids]
        count = len(run_ids)
        self._compare.text = f"Compare {count}" if count else "Compare"
        self._compare.set_enabled(2 <= count <= MAX_RUNS)

    def _to_comparison(self) -> None:
        runs = ",".join(self._state.selected)
        ui.navigate.to(f"/runs/compare?{urlencode({'runs': runs}, safe=',')}")

    async def _refresh(self) -> None:
        revision = await read(newest_change)
        if revision > self._state.revision:
            self._state.revision = revision
            self._grid.refresh()

    async def _choose_columns(self) -> None:
        asked = self._state.asked
        found = await perform(run_columns, RunQuery(asked.model or None, sort=asked.sort))
        if found is None:
            return
        chosen = list(asked.columns or found.chosen)
        names = list(dict.fromkeys([*chosen, *found.names]))
        with ui.dialog() as dialog, ui.card().classes("hub-dialog"):
            dialog.props["aria-label"] = "Columns of the table"
            text("h2", "Columns")
            text("p", f"{len(found.names)} names that runs have recorded.", "hub-note")
            select = ui.select(names, value=chosen, label="Columns", multiple=True, with_input=True)
            select.props("outlined use-chips").classes("w-full")
            with ui.row().classes("w-full justify-end"):
                ui.button("Usual ones", on_click=lambda: dialog.submit([])).props("flat no-caps")
                ui.button("Cancel", on_click=dialog.close).props("flat no-caps")
                ui.button("Show", on_click=lambda: dialog.submit(select.value)).props(
                    "no-caps unelevated"
                )
        picked = await dialog
        dialog.delete()
        if picked is not None:
            self._show(replace(self._state.asked, columns=tuple(picked)[:MAX_COLUMNS]))
            await self._ask()
