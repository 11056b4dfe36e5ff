"""`/models`: all models, what is in production, and how it does."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui

from mlops_assets.hub.pages.caller import hub, read
from mlops_assets.hub.pages.frame import page
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.models.parts import measure_text, style
from mlops_assets.hub.pages.parts.cards import Content, card, empty, table, title
from mlops_assets.hub.pages.parts.references import data_link, model_link
from mlops_assets.hub.pages.parts.texts import NONE, share, state, text, when
from mlops_assets.hub.views.models.changes import Marker, models_marker
from mlops_assets.hub.views.models.overview import ModelSummary, StandingVersion, models_overview

_COLUMNS = (
    "model",
    "production",
    "main metric (95 % interval)",
    "gates",
    "live metric",
    "outside",
    "alarms",
    "candidate",
    "last trained",
    "versions",
)


@page("/models", "Models")
async def models() -> None:
    """Build the page."""
    style()
    title("Models")
    body = ui.element("div")
    shown: list[Marker] = []

    async def refresh() -> None:
        marker = await read(models_marker)
        if shown == [marker]:
            return
        declared = hub().models
        found = await read(models_overview, declared.models, declared.left_out)
        shown[:] = [marker]
        body.clear()
        with body:
            _show(found)

    await refresh()
    on_change(refresh)


def _show(found: Sequence[ModelSummary]) -> None:
    note = "Metrics are of the test split; live metric and share outside are of the last"
    with card("All models", f"{note} monitored day."):
        if not found:
            empty(
                "No model is declared, and none has a version. Declare one, then train it:",
                "mlops train MODEL",
            )
            return
        table("Models", _COLUMNS, [_row(own) for own in found], numeric=("alarms", "versions"))
    for own in found:
        if own.invalid is not None:
            with card(f"{own.name} is declared wrongly"):
                text("pre", own.invalid)


def _row(own: ModelSummary) -> list[Content]:
    production = own.production

    def name() -> None:
        model_link(own.name)
        about = own.title or ("" if own.declared else "not declared by this project")
        if about:
            text("div", about, "hub-note")
        if own.dataset is not None:
            data_link(own.dataset).classes("hub-note")

    def gates() -> None:
        if production is None or production.gates is None:
            text("span", NONE)
        else:
            state(production.gates)

    def alarms() -> None:
        if own.alarms:
            state("alarm")
        text("span", f" {own.alarms}")

    return [
        name,
        _standing(own, production, "production"),
        _metric(own, production or own.newest),
        gates,
        _live(own),
        _outside(own),
        alarms,
        _standing(own, own.candidate, "candidate"),
        when(own.trained),
        f"{own.versions:,}",
    ]


def _standing(own: ModelSummary, version: StandingVersion | None, alias: str) -> Content:
    if version is None:
        return NONE

    def add() -> None:
        model_link(f"{own.name}@{alias}", version.version)
        for problem in version.problems:
            text("div", problem, "hub-note")

    return add


def _metric(own: ModelSummary, version: StandingVersion | None) -> Content:
    if own.versions == 0:
        return "not trained yet"
    if version is None or version.metric is None:
        return "not measured"
    of = "" if version is own.production else f" ({version.version})"
    return f"{version.metric.name} {measure_text(version.metric)}{of}"


def _live(own: ModelSummary) -> Content:
    if own.monitored_day is None:
        return "not monitored"
    if own.monitored is None:
        return f"no request on {own.monitored_day}"
    if own.monitored.live is None:
        return f"no labels on {own.monitored_day}"
    return f"{own.monitored.metric} {measure_text(own.monitored.live)}, {own.monitored_day}"


def _outside(own: ModelSummary) -> Content:
    return NONE if own.monitored is None else share(own.monitored.outside)
