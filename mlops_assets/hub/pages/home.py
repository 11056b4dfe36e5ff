"""Home: what needs attention, what is running, what is new, and what is in production."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from mlops_assets.hub.pages.caller import hub, read
from mlops_assets.hub.pages.frame import page
from mlops_assets.hub.pages.live import every, on_change
from mlops_assets.hub.pages.parts.cards import Content, card, empty, table, title
from mlops_assets.hub.pages.parts.references import data_link, model_link, run_link
from mlops_assets.hub.pages.parts.texts import (
    NONE,
    duration,
    number,
    share,
    size,
    state,
    text,
    when,
)
from mlops_assets.hub.views.home import Attention, Home, RunningRun, RunningWork, running_work
from mlops_assets.hub.views.in_production import InProduction, LiveDay
from mlops_assets.registry.store import now

SECONDS = 2.0  # between readings of runs under way
# kinds of what needs attention → how their chips look
_LOOKS = {
    **dict.fromkeys(("alarm", "failed run", "failed check"), "bad"),
    **dict.fromkeys(("warning", "approval", "promotion", "training"), "warn"),
}


@page("/", "Home")
async def home() -> None:
    """Build the page."""
    found = await read(hub().home.read)
    work = await read(running_work)
    title("Home")
    summary = ui.element("div")
    running = ui.element("div")
    rest = ui.element("div")

    def show_running(shown: RunningWork) -> None:
        running.clear()
        if shown.runs:
            with running:
                _running(shown)

    def show(shown: Home) -> None:
        summary.clear()
        rest.clear()
        with summary:
            _summary(shown)
        with rest:
            _content(shown)

    show(found)
    show_running(work)

    async def follow() -> None:
        nonlocal work
        if work.runs:
            newest = await read(running_work)
            if newest != work:
                work = newest
                show_running(newest)

    async def changed() -> None:
        nonlocal work
        show(await read(hub().home.read))
        work = await read(running_work)
        show_running(work)

    on_change(changed)
    every(SECONDS, follow)


def _summary(found: Home) -> None:
    counts = found.counts
    parts = [
        _counted(counts.datasets, "dataset", counts.data_versions),
        _counted(counts.models, "model", counts.model_versions),
        f"{len(found.production)} in production",
        f"{counts.runs:,} run{'' if counts.runs == 1 else 's'}",
    ]
    text("p", " · ".join(parts), "hub-note hub-summary")


def _counted(count: int, noun: str, versions: int) -> str:
    names = f"{count:,} {noun}{'' if count == 1 else 's'}"
    return f"{names} with {versions:,} version{'' if versions == 1 else 's'}"


def _content(found: Home) -> None:
    if not found.counts.data_versions:
        _first_steps()
        return
    with card("Needs attention"):
        if found.attention:
            with ui.element("ul").classes("hub-list"):
                for each in found.attention:
                    _attention(each)
        else:
            text("p", "Nothing: no open alarm, no failure, no pending decision.", "hub-note")
    with card("In production"):
        _production(found.production)
    with ui.element("div").classes("hub-grid"):
        with card("Newest model versions"):
            _models(found)
        with card("Newest data versions"):
            _data(found)


def _attention(each: Attention) -> None:
    with ui.element("li"):
        text("span", each.kind, f"hub-state hub-state-{_LOOKS.get(each.kind, 'plain')}")
        with ui.element("div").classes("hub-item"):
            with ui.element("p"):
                ui.link(each.subject, each.path).classes("hub-strong")
            text("p", each.detail)
            text("code", each.command, "hub-hint")


def _running(found: RunningWork) -> None:
    with card("Running now"):
        for sweep in found.sweeps:
            counts = ", ".join(f"{count} {name}" for name, count in sorted(sweep.trials.items()))
            text("p", f"Sweep {sweep.name} of {sweep.model}: {counts}")
        table(
            "Runs under way",
            ["Run", "Model", "Data", "For", "Step", "Newest values", "By"],
            [_running_row(each) for each in found.runs],
            numeric=("For", "Step"),
        )


def _running_row(each: RunningRun) -> list[Content]:
    def note() -> None:
        text("span", each.note or NONE)
        if each.alive is False:
            text("p", f"Its process on {each.host} is gone; run 'mlops doctor'.", "hub-bad")

    return [
        partial(run_link, each.run_id),
        partial(model_link, each.model),
        partial(data_link, each.data),
        duration((now() - each.started).total_seconds() // 1),
        NONE if each.step is None else number(each.step),
        note,
        each.created_by,
    ]


def _production(found: list[InProduction]) -> None:
    if not found:
        empty(
            "No model version is in production. Promote one on its page, or by",
            "mlops model promote MODEL@VERSION",
        )
        return
    table(
        "Model versions in production",
        [
            "Model",
            "Version",
            "On the test split",
            "Live",
            "Outside applicability",
            "Rules",
            "Since",
        ],
        [_production_row(each) for each in found],
        numeric=("On the test split", "Live", "Outside applicability"),
    )


def _production_row(each: InProduction) -> list[Content]:
    live = each.live

    def rules() -> None:
        if each.alarms:
            state("alarm", f"{each.alarms} open")
        elif live is not None:
            state(live.verdict, f"rules of {live.day}")
        else:
            text("span", "not monitored", "hub-note")

    return [
        partial(model_link, each.model),
        partial(model_link, f"{each.model}@production", each.version),
        NONE if each.metric is None else f"{each.metric} {number(each.value)}",
        NONE if live is None else _live(live),
        NONE if live is None else share(live.outside),
        rules,
        when(each.since),
    ]


def _live(live: LiveDay) -> str:
    """Return the live metric with its interval, its day, and whether it is an estimate."""
    if live.value is None:
        return f"unknown on {live.day}"
    interval = ""
    if live.lower is not None and live.upper is not None:
        interval = f" ({number(live.lower)} to {number(live.upper)})"
    kind = "estimated " if live.estimated else ""
    return f"{kind}{live.metric} {number(live.value)}{interval} on {live.day}"


def _models(found: Home) -> None:
    if not found.models:
        empty("No model version yet. Train a model of the project:", "mlops train MODEL")
        return

    def aliases(names: list[str]) -> None:
        for name in names:
            state(name)
        if not names:
            text("span", NONE)

    table(
        "Newest model versions",
        ["Version", "Test metric", "Aliases", "Created"],
        [
            [
                partial(model_link, each.reference),
                f"not evaluated ({each.stage})"
                if each.metric is None
                else f"{each.metric} {number(each.value)}",
                partial(aliases, each.aliases),
                when(each.created),
            ]
            for each in found.models
        ],
        numeric=("Test metric",),
    )


def _data(found: Home) -> None:
    table(
        "Newest data versions",
        ["Version", "Samples", "Size", "Created", "By"],
        [
            [
                partial(data_link, each.reference),
                f"{each.samples:,}",
                size(each.size),
                when(each.created),
                each.created_by,
            ]
            for each in found.data
        ],
        numeric=("Samples", "Size"),
    )


def _first_steps() -> None:
    """Say how an empty project begins."""
    steps = {
        "Create a project with an example dataset and model.": "mlops init my_project",
        "Commit what has landed as the first data version.": "mlops dataset commit DATASET",
        "Train a model on it; it is exported, evaluated and recorded.": "mlops train MODEL",
    }
    with (
        card("The first three steps", "This workspace has no data version yet."),
        ui.element("ol").classes("hub-steps"),
    ):
        for sentence, command in steps.items():
            with ui.element("li"):
                empty(sentence, command)
