"""Parts of the page of a run: outcome, metrics, parameters, environment, actions."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from urllib.parse import quote

from nicegui import ui

from mlops_assets.hub.orchestration.links import dagster_run_url
from mlops_assets.hub.pages.parts.cards import card, empty, facts, table
from mlops_assets.hub.pages.parts.references import data_link, model_link
from mlops_assets.hub.pages.parts.texts import (
    NONE,
    checksum,
    duration,
    number,
    size,
    state,
    text,
    when,
)
from mlops_assets.hub.views.addresses import train_path
from mlops_assets.hub.views.runs.record import RunRecord
from mlops_assets.hub.views.runs.table import Cell
from mlops_assets.names import Reference

RESUMABLE = ("failed", "canceled")


def shown(name: str, value: Cell) -> str:
    """Return a recorded value as text, in the unit that its name has."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        if name.endswith("_bytes"):
            return size(value)
        if name == "seconds" or name.endswith("_seconds"):
            return duration(value)
        if name.endswith("_joules"):
            return f"{number(value / 3600)} Wh" if value >= 3600 else f"{number(value)} J"
        if name.endswith("_utilization"):
            return f"{value:.0%}".replace("%", " %")
        return number(value)
    return NONE if value is None else value


def failure(record: RunRecord) -> None:
    """Add what a run ended with that is no success, and what to do."""
    if record.error is None or record.status == "running":
        return
    lines = record.error.strip().splitlines() or ["no reason is recorded"]
    first = lines[-1] if lines[0].startswith("Traceback") else lines[0]
    with ui.element("div").classes("hub-problem").props("role=alert"):
        text("p", first)
        if len(lines) > 1:
            with ui.element("details"):
                text("summary", "Whole message")
                text("pre", record.error).props.update({"tabindex": 0})


def outcome(record: RunRecord) -> None:
    """Add what a run is, and what it has made."""

    def status() -> None:
        state(record.status)
        if record.alive is False:
            text("span", " its process is not running; resume it", "hub-note")

    def product() -> None:
        if record.model_version is None:
            text("span", NONE)
        else:
            model_link(Reference(record.model, record.model_version))

    def data() -> None:
        data_link(Reference(record.dataset, record.data_version))
        text("span", " digest ", "hub-note")
        checksum(record.data_digest)

    took = NONE if record.seconds is None else duration(record.seconds)
    attempts = "" if record.attempts == 1 else f", in {record.attempts} attempts"
    facts(
        {
            "status": status,
            "model version": product,
            "data": data,
            "started": f"{when(record.started)} by {record.created_by or 'unknown'}",
            "ended": when(record.finished),
            "took": took + attempts,
        }
    )


def origin(record: RunRecord) -> None:
    """Add where a run was executed, and by what."""

    def code() -> None:
        text("code", record.code_version)
        if record.changes:
            text("span", ", with uncommitted changes: ", "hub-note")
            text("code", record.changes.rpartition("/")[2][:12], title=record.changes)

    def dagster() -> None:
        run_id = record.orchestration_run or ""
        ui.link(run_id[:8], dagster_run_url(run_id)).classes("hub-id").props["title"] = run_id

    known: dict[str, str | Callable[[], object] | None] = {
        "seed": str(record.seed),
        "trainer": record.trainer,
        "code": code,
        "source": record.source,
        "machine": record.host,
        "phases": ", ".join(f"{name} {shown('seconds', v)}" for name, v in record.phases.items()),
        "usage": ", ".join(f"{_label(name)} {shown(name, v)}" for name, v in record.usage.items()),
        "checkpoints": _checkpoints(record),
        "Dagster run": dagster if record.orchestration_run else None,
        "run id": partial(text, "code", record.run_id),
    }
    facts({name: value for name, value in known.items() if value not in (None, "")})


def measured(record: RunRecord) -> None:
    """Add the last value of each metric."""
    if not record.metrics:
        empty(
            "No metric is recorded yet; those that are logged are below."
            if record.status == "running"
            else "The run has recorded no metric."
        )
        return
    rows = [[name, shown(name, value)] for name, value in record.metrics.items()]
    table("Metrics", ["metric", "value"], rows, ["value"])
    if record.unmeasured:
        text("p", f"Not in the test split: {', '.join(record.unmeasured)}", "hub-note")


def parameters(record: RunRecord) -> None:
    """Add the parameters."""
    if not record.parameters:
        empty("The run has no parameters.")
        return
    rows = [[name, shown(name, value)] for name, value in record.parameters.items()]
    table("Parameters", ["parameter", "value"], rows, ["value"])


def environment(record: RunRecord) -> None:
    """Add the hardware and the installed packages."""
    with ui.element("div").classes("hub-grid"):
        with card("Hardware"):
            _values(record.hardware, "The hardware was not recorded.")
        with card("Packages"):
            if record.environment_problem:
                text("p", record.environment_problem, "hub-problem")
            elif record.environment is None:
                empty("The installed packages were not recorded.")
            else:
                rows = [[name, version] for name, version in record.environment.items()]
                table("Packages", ["package", "version"], rows)


def actions(
    record: RunRecord,
    may_act: bool,
    stop: Callable[[], Awaitable[None]],
    resume: Callable[[], Awaitable[None]],
) -> None:
    """Add the buttons of what can be done with a run, and its files."""
    base = f"/api/v1/runs/{quote(record.run_id, safe='')}"
    if may_act:
        if record.status == "running":
            ui.button("Stop", on_click=stop).props("no-caps outline padding='4px 12px'")
        if record.status in RESUMABLE and record.source == "platform":
            ui.button("Resume", on_click=resume).props("no-caps unelevated padding='4px 12px'")
        if record.source == "platform":
            again = train_path(source=record.run_id)
            ui.link("Train again with changes", again).classes("hub-button")
    ui.link("run.json", f"{base}/run.json").classes("hub-button").props("download")
    if record.has_points:
        ui.link("points.csv", f"{base}/points.csv").classes("hub-button").props("download")


def _checkpoints(record: RunRecord) -> str:
    return ", ".join(f"step {each.step} ({size(each.size)})" for each in record.checkpoints)


def _values(found: Mapping[str, Cell], nothing: str) -> None:
    if found:
        facts({name: shown(name, value) for name, value in found.items()})
    else:
        empty(nothing)


def _label(name: str) -> str:
    for unit in ("_bytes", "_joules", "_seconds"):
        name = name.removesuffix(unit)
    return name.replace("_", " ")
