"""The page of one run."""

from __future__ import annotations

from typing import Literal

from nicegui import ui

from mlops_assets.hub.pages.caller import hub, perform, principal, read
from mlops_assets.hub.pages.frame import page
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.parts.cards import card, title
from mlops_assets.hub.pages.parts.snippets import snippets
from mlops_assets.hub.pages.parts.texts import text
from mlops_assets.hub.pages.runs.elements import RunCurves, RunOutputView, style
from mlops_assets.hub.pages.runs.parts import (
    actions,
    environment,
    failure,
    measured,
    origin,
    outcome,
    parameters,
)
from mlops_assets.hub.pages.runs.remarks import Remarks
from mlops_assets.hub.views.runs.record import RunRecord, run_record
from mlops_assets.principals import Role
from mlops_assets.store import Store

TABS = {"overview": "Overview", "output": "Output", "environment": "Environment", "code": "Use"}
Act = Literal["stop", "resume"]


@page("/runs/{run_id}", "Run {run_id}")
async def run(run_id: str, tab: str = "overview") -> None:
    """Build the page."""
    style()
    record = await read(run_record, run_id)
    await _RunPage(record).build(tab if tab in TABS else "overview")


class _RunPage:
    """The page of a run, whose parts follow the run."""

    def __init__(self, record: RunRecord) -> None:
        self._record = record
        user = principal()
        self._may_act = Role.SCIENTIST in user.roles
        self._remarks = Remarks(record, self._may_act, self._changed)

    async def build(self, tab: str) -> None:
        """Add the elements."""
        record = self._record
        ui.page_title(f"Run {record.run_id[:8]} · {record.model} · mlops_assets")
        with ui.element("div").classes("run-title"):
            title(f"Run {record.run_id[:8]}", f"training run of {record.model}")
            self._actions = ui.element("div").classes("run-actions")
        self._failure = ui.element("div")
        with ui.tabs().props("dense align=left no-caps").classes("hub-tabs") as tabs:
            tabs.props["aria-label"] = "Parts of the run"
            for name, label in TABS.items():
                ui.tab(name, label)
        with ui.tab_panels(tabs, value=tab).props("keep-alive").classes("hub-panels run-panels"):
            with ui.tab_panel("overview"):
                self._overview()
            with ui.tab_panel("output"), card("Output"):
                RunOutputView(record.run_id)
            with ui.tab_panel("environment"):
                self._environment = ui.element("div")
            with ui.tab_panel("code"), card("Use this run"):
                snippets(_snippets(record))
        self._fill()
        tabs.on_value_change(lambda change: self._note_tab(str(change.value)))
        on_change(self._refresh)

    def _overview(self) -> None:
        record = self._record
        with ui.element("div").classes("hub-grid"):
            with card("Outcome") as self._outcome:
                pass
            with card("Metrics") as self._metrics:
                pass
        with card("Curves"):
            waiting = "Nothing is logged yet." if record.status == "running" else None
            curves = RunCurves({record.run_id: record.run_id[:8]}, waiting or "Nothing was logged.")
            curves.on_ended(self._refresh)
        with ui.element("div").classes("hub-grid"):
            with card("Parameters") as self._parameters:
                pass
            with card("Notes and tags"):
                self._remarks.build()

    def _fill(self) -> None:
        """Show what the record has; what a user is entering stays."""
        record = self._record
        for place, fill in (
            (self._failure, failure),
            (self._outcome, outcome),
            (self._metrics, measured),
            (self._parameters, parameters),
            (self._environment, environment),
        ):
            place.clear()
            with place:
                fill(record)
        with self._outcome:
            origin(record)
        self._actions.clear()
        with self._actions:
            actions(record, self._may_act, self._stop, self._resume)

    async def _refresh(self) -> None:
        record = await read(run_record, self._record.run_id)
        if record != self._record:
            self._changed(record)

    def _changed(self, record: RunRecord) -> None:
        self._record = record
        self._fill()
        self._remarks.show(record)

    def _note_tab(self, tab: str) -> None:
        address = f"/runs/{self._record.run_id}"
        ui.navigate.history.replace(address if tab == "overview" else f"{address}?tab={tab}")

    async def _stop(self) -> None:
        kept = self._record.checkpoints
        after = (
            f"It can be resumed from step {kept[0].step}."
            if kept
            else "It has no checkpoint yet, so that it would start anew."
        )
        if await _confirmed(f"Stop run {self._record.run_id[:8]}?", after, "Stop"):
            await self._act("stop", "The run is being stopped.")

    async def _resume(self) -> None:
        await self._act("resume", "The run continues once Dagster has started it.")

    async def _act(self, act: Act, done: str) -> None:
        if await perform(_launch, self._record.run_id, act) is not None:
            ui.notify(done, type="info")
            await self._refresh()


def _launch(store: Store, run_id: str, act: Act) -> bool:
    """Stop or resume a run by the launcher of the hub."""
    run = store.registry.run(run_id)
    launcher = hub().launcher
    if act == "stop":
        launcher.stop(store, run)
    else:
        launcher.resume(store, run)
    return True


async def _confirmed(question: str, detail: str, verb: str) -> bool:
    """Ask whether to act."""
    with ui.dialog() as dialog, ui.card().classes("hub-dialog"):
        dialog.props["aria-label"] = question
        text("h2", question)
        text("p", detail, "hub-note")
        with ui.row().classes("w-full justify-end"):
            ui.button("Cancel", on_click=dialog.close).props("flat no-caps autofocus")
            ui.button(verb, on_click=lambda: dialog.submit(True)).props(
                "no-caps unelevated color=negative"
            )
    try:
        return bool(await dialog)
    finally:
        dialog.delete()


def _snippets(record: RunRecord) -> dict[str, str]:
    short = record.run_id[:8]
    found = {
        "mlops": f"mlops run show {short}\nmlops run show {short} --log\nmlops run list"
        f" {record.model} --where \"data_version = '{record.data_version}'\"",
        "curl": f'curl "$MLOPS_HUB/api/v1/runs/{record.run_id}/record"\n'
        f'curl -o points.csv "$MLOPS_HUB/api/v1/runs/{record.run_id}/points.csv"',
    }
    if record.model_version is not None:
        reference = f"{record.model}@{record.model_version}"
        found["reproduce"] = f"mlops model reproduce {reference}"
    return found
