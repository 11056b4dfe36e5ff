"""`/models/NAME`: the versions of a model, its history, monitored days, deployments and maps."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from nicegui import ui

from mlops_assets.hub.model_decisions import roll_back
from mlops_assets.hub.pages.caller import hub, perform, read
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.models.days import show_days
from mlops_assets.hub.pages.models.maps import show_maps
from mlops_assets.hub.pages.models.parts import measure_text, states, style
from mlops_assets.hub.pages.parts.buttons import button
from mlops_assets.hub.pages.parts.cards import Content, card, empty, table, title
from mlops_assets.hub.pages.parts.dialogs import ask_reason
from mlops_assets.hub.pages.parts.navigation import address, chosen_tab, pager, tabs
from mlops_assets.hub.pages.parts.references import data_link, model_link, run_link
from mlops_assets.hub.pages.parts.texts import NONE, checksum, state, text, when
from mlops_assets.hub.rest.models.schemas import AliasMoved
from mlops_assets.hub.views.addresses import model_path, train_path
from mlops_assets.hub.views.models.changes import Marker, models_marker
from mlops_assets.hub.views.models.history import HistoryPage, model_deployments, model_history
from mlops_assets.hub.views.models.maps import PAGE as MAPS
from mlops_assets.hub.views.models.maps import maps_of
from mlops_assets.hub.views.models.measures import Measure
from mlops_assets.hub.views.models.monitoring import monitoring_of, open_alarms
from mlops_assets.hub.views.models.overview import ModelSummary, model_summary
from mlops_assets.hub.views.models.version.rights import WayBack, way_back
from mlops_assets.hub.views.models.versions import VersionRow, VersionsPage, versions_page
from mlops_assets.lineage.deployments import DeploymentLineage

TABS = {
    "versions": "Versions",
    "history": "History",
    "monitoring": "Monitoring",
    "deployments": "Deployments",
    "maps": "Maps",
}
_OTHER_METRICS = 3  # beside the main one


class ModelPage:
    """The page of a model."""

    def __init__(self, model: str, tab: str, page: int, sort: str, day: str) -> None:
        self.model = model
        self.tab = chosen_tab(TABS, tab)
        self.page = max(1, page)
        self.sort = sort or "-created"
        self.day = day
        self.path = model_path(model)
        self._shown: Marker | None = None

    async def build(self) -> None:
        """Build the page."""
        style()
        specification = hub().models.models.get(self.model)
        title(self.model, (specification and specification.title) or "Model")
        # dialogs stay while the content is replaced
        self._dialogs = ui.element("div")
        self._body = ui.element("div")
        await self._refresh()
        on_change(self._refresh)

    async def _summary(self) -> ModelSummary:
        declared = hub().models
        return await read(model_summary, declared.models, declared.left_out, self.model)

    async def _refresh(self) -> None:
        marker = await read(models_marker, self.model)
        if marker == self._shown:
            return
        summary = await self._summary()
        show = await self._read_tab(summary)
        previous = await read(way_back, self.model)
        self._shown = marker
        self._body.clear()
        with self._body:
            self._actions(summary, previous)
            tabs(self.path, TABS, self.tab)
            show()

    async def _read_tab(self, summary: ModelSummary) -> Callable[[], None]:
        """Return a function that shows a tab, whose content is read before."""
        if self.tab == "history":
            events = await read(model_history, self.model, self.page)
            return lambda: self._history(events)
        if self.tab == "monitoring":
            days = await read(monitoring_of, self.model)
            alarms = await read(open_alarms, self.model)
            return lambda: show_days(self.model, days, alarms, self.day)
        if self.tab == "deployments":
            made = await read(model_deployments, self.model)
            return lambda: self._deployments(made)
        if self.tab == "maps":
            maps = await read(maps_of, self.model, None, self.page)
            return lambda: show_maps(
                self.model, maps, self.page, address(self.path, {"tab": "maps"}), MAPS
            )
        specification = hub().models.models.get(self.model)
        versions = await read(versions_page, specification, self.model, self.page, sort=self.sort)
        return lambda: self._versions(versions, summary.metric)

    def _actions(self, summary: ModelSummary, back: WayBack | None) -> None:
        with ui.element("div").classes("hub-row hub-actions"):
            if summary.production is not None:
                text("span", "in production:")
                model_link(f"{self.model}@production", summary.production.version)
            elif summary.versions:
                text("span", "nothing is in production", "hub-note")
            if summary.declared:
                ui.link("Train…", train_path(self.model)).classes("hub-button")
            if back is not None and summary.declared:
                button("Roll back…", lambda: self._roll_back(back), back.refused)

    async def _roll_back(self, back: WayBack) -> None:
        async def act(reason: str) -> AliasMoved | None:
            return await perform(roll_back, hub(), self.model, reason or None, back.production)

        with self._dialogs:
            made = await ask_reason(
                f"Roll {self.model} back",
                "Roll back",
                act,
                f"production moves from {back.production} to {back.previous}, whose files are"
                " verified first. Services that follow production serve it then.",
                required=False,
            )
        if isinstance(made, AliasMoved):
            notes = "".join(f"\n{note}" for note in made.notes)
            ui.notify(f"production is {made.version} again{notes}", type="positive")
            await self._refresh()

    def _versions(self, found: VersionsPage, metric: str | None) -> None:
        with card("Versions"):
            if not found.rows and found.total == 0:
                empty("No version yet. Train the first:", f"mlops train {self.model}")
                return
            others = [name for name in found.metrics if name != metric][:_OTHER_METRICS]
            self._sorting(found, metric)
            columns = ["version", "aliases"]
            if metric is not None:
                columns.append(metric)
            columns += [*others, "gates", "approval", "data", "run", "trained"]
            names = [name for name in (metric, *others) if name is not None]
            with ui.element("div").classes("hub-versions"):
                table(
                    f"Versions of {self.model}",
                    columns,
                    [self._row(row, metric, others) for row in found.rows],
                    numeric=names,
                )
            query = {"sort": None if self.sort == "-created" else self.sort}
            pager(self.path, query, found.page, found.size, found.total)

    def _sorting(self, found: VersionsPage, metric: str | None) -> None:
        orders = {"newest": "-created", "oldest": "created"}
        if metric in found.metrics:
            orders |= {f"{metric}, largest": f"-{metric}", f"{metric}, smallest": str(metric)}
        if found.total < 2:
            return
        with ui.element("nav").classes("hub-row") as nav:
            nav.props["aria-label"] = "Order"
            text("span", "Order:", "hub-note")
            for label, sort in orders.items():
                link = ui.link(label, address(self.path, {"sort": sort}))
                if sort == found.sort:
                    link.props["aria-current"] = "true"
                    link.classes("font-bold")

    def _row(self, row: VersionRow, metric: str | None, others: list[str]) -> list[Content]:
        measured: dict[str, Measure] = {own.name: own for own in row.metrics}
        cells: list[Content] = [
            lambda: _version(self.model, row),
            states(*row.aliases),
        ]
        if metric is not None:
            cells.append(measure_text(measured.get(metric)))
        cells += [_value(measured.get(name)) for name in others]
        return [
            *cells,
            states(row.gates),
            NONE if row.approval == "not required" else states(row.approval),
            lambda: data_link(row.data),
            lambda: run_link(row.run_id),
            when(row.created),
        ]

    def _history(self, found: HistoryPage) -> None:
        with card("History", "Moves of aliases, decisions and deployments, newest first."):
            if not found.events:
                empty(
                    "Nothing was decided yet. Promote a version on its page, or:",
                    f"mlops model promote {self.model} --reason TEXT",
                )
                return
            table(
                f"History of {self.model}",
                ("when", "version", "what", "by", "reason", "evidence"),
                [
                    [
                        when(event.when),
                        partial(model_link, f"{self.model}@{event.version}", event.version),
                        event.what,
                        event.who,
                        event.reason,
                        _lines(event.gates),
                    ]
                    for event in found.events
                ],
            )
            pager(self.path, {"tab": "history"}, found.page, found.size, found.total)

    def _deployments(self, found: list[DeploymentLineage]) -> None:
        with card("Deployments", "What serves, or has served, versions of this model."):
            if not found:
                empty(
                    "Nothing is deployed. Declare a service, then:", "mlops service deploy SERVICE"
                )
                return
            table(
                f"Deployments of {self.model}",
                ("when", "service", "version", "action", "engine", "where", "by", "reason", "file"),
                [self._deployment(made) for made in found],
            )

    def _deployment(self, made: DeploymentLineage) -> list[Content]:
        version = made.reference.partition("@")[2]
        return [
            when(made.deployed),
            made.service,
            lambda: model_link(made.reference, version),
            states(made.action, "active" if made.active else None),
            made.engine,
            made.place,
            made.deployed_by,
            made.reason,
            lambda: checksum(made.sha256),
        ]


def _version(model: str, row: VersionRow) -> None:
    model_link(f"{model}@{row.version}", row.version)
    if row.deprecated is not None:
        state("deprecated", row.deprecated)
    if row.stage != "recorded":
        text("div", f"only {row.stage}", "hub-note")
    if row.visibility != "workspace":
        text("div", row.visibility, "hub-note")
    for problem in row.problems:
        text("div", problem, "hub-note")


def _value(own: Measure | None) -> str:
    return measure_text(None if own is None else Measure(own.name, own.value))


def _lines(found: list[str]) -> Content:
    def add() -> None:
        for line in found:
            text("div", line, "hub-note")
        if not found:
            text("span", NONE)

    return add
