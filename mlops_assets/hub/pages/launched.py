"""The page of a run that was launched, until its training run has a page of its own."""

from __future__ import annotations

from nicegui import ui

from mlops_assets.hub.orchestration.launcher import LaunchedState
from mlops_assets.hub.orchestration.links import dagster_run_url
from mlops_assets.hub.pages.caller import hub, perform, read
from mlops_assets.hub.pages.frame import page
from mlops_assets.hub.pages.parts.cards import Content, card, facts, title
from mlops_assets.hub.pages.parts.references import data_link, model_link, run_link
from mlops_assets.hub.pages.parts.texts import state, text
from mlops_assets.hub.views.addresses import run_path
from mlops_assets.names import Reference

SECONDS = 2.0  # between reads of the state, while the run has not ended
_ENDED = ("SUCCESS", "FAILURE", "CANCELED")
_MEANING = {
    "QUEUED": "It waits for its turn in Dagster's queue.",
    "NOT_STARTED": "It waits for its turn in Dagster's queue.",
    "STARTING": "Its process is starting.",
    "STARTED": "It is running. This page opens the training run once that has begun.",
    "CANCELING": "It was asked to end; its newest checkpoint is kept.",
    "CANCELED": "It was canceled. What it has finished before is kept.",
    "SUCCESS": "It has succeeded.",
    "FAILURE": "It has failed.",
}


@page("/launched/{run_id}", "Launched run")
async def launched(run_id: str) -> None:
    """Build the page."""
    found = await read(hub().launcher.state, run_id)
    if _moves_on(found):
        ui.navigate.to(run_path(found.runs[0]))
    title(found.job, "launched run")
    with card("State") as body:
        _show(found, run_id)

    async def refresh() -> None:
        nonlocal found
        now = await read(hub().launcher.state, run_id)
        if now != found:
            found = now
            body.clear()
            with body:
                _show(now, run_id)
        if _moves_on(now):
            ui.navigate.to(run_path(now.runs[0]))
        if now.status in _ENDED:
            timer.deactivate()

    timer = ui.timer(SECONDS, refresh, active=found.status not in _ENDED, immediate=False)


def _moves_on(found: LaunchedState) -> bool:
    """Return whether the one training run of a launched run has the better page."""
    return len(found.runs) == 1 and not found.job.endswith("_sweep")


def _model(found: LaunchedState) -> Content:
    model = found.model
    return None if model is None or "," in model else lambda: model_link(model)


def _data(found: LaunchedState) -> Content:
    dataset = found.dataset
    if dataset is None or "," in dataset:
        return found.partition
    return lambda: data_link(Reference(dataset, found.partition))


def _show(found: LaunchedState, run_id: str) -> None:
    facts(
        {
            "State": lambda: state(found.status, _MEANING.get(found.status, "")),
            "Job": found.job,
            "Model": _model(found),
            "Data": _data(found),
            "Dagster run": lambda: ui.link(run_id[:8], dagster_run_url(run_id)).classes("hub-id"),
        }
    )
    with ui.element("div").props("role=status"):
        text("p", _MEANING.get(found.status, ""))
        if found.notice:
            text("p", f"{found.notice[0].upper()}{found.notice[1:]}.", "hub-banner")
    if found.errors:
        text("h3", "Errors")
        with ui.element("ul"):
            for error in found.errors:
                text("li", error)
    if found.runs:
        text("h3", "Training runs")
        with ui.element("ul"):
            for training in found.runs:
                with ui.element("li"):
                    run_link(training)
    if found.status not in (*_ENDED, "CANCELING"):
        ui.button("Cancel", on_click=lambda: perform(hub().launcher.cancel, run_id)).props(
            "outline no-caps"
        ).classes("self-start")
