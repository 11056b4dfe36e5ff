"""`/data`: all datasets, with their newest version and what has landed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from mlops_assets.errors import MlopsError
from mlops_assets.hub.pages.caller import hub, read
from mlops_assets.hub.pages.data.parts import quality_chip, style
from mlops_assets.hub.pages.frame import page, problem
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.parts.cards import Content, card, empty, table, title
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.texts import NONE, number, size, text, when
from mlops_assets.hub.views.addresses import data_path
from mlops_assets.hub.views.data.datasets import DatasetRow, Datasets, datasets
from mlops_assets.hub.views.data.landing import LandingView, landing
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

COLUMNS = ("Dataset", "Newest", "Samples", "Files", "Size", "Checks", "Last commit", "Landing")
NUMERIC = ("Samples", "Files", "Size")
SCAFFOLD = "dg scaffold defs mlops_assets.components.TrainingDataset NAME"


@page("/data", "Training data")
async def index() -> None:
    """Build the page."""
    style()
    title("Training data")
    body = ui.element("div")
    shown: list[Datasets] = []

    async def refresh() -> None:
        found = await read(_datasets)
        if shown == [found]:
            return
        shown[:] = [found]
        body.clear()
        with body:
            _show(found)

    await refresh()
    on_change(refresh)


def _datasets(store: Store) -> Datasets:
    # loads the definitions of the project, so in a thread
    return datasets(store, hub().datasets)


def _show(found: Datasets) -> None:
    for name, reason in found.left_out.items():
        problem(f"{name} is declared wrongly, and left out:\n{reason}")
    if not found.datasets:
        with card("No dataset yet"):
            empty("Declare one, land its files, and commit them.", SCAFFOLD)
        return
    with card("Datasets"):
        cells: dict[str, ui.element] = {}
        table("Datasets", COLUMNS, [_row(each, cells) for each in found.datasets], NUMERIC)
    landing_names = [each.name for each in found.datasets if each.name in cells]

    async def look() -> None:
        for name in landing_names:
            await _fill(cells[name], name)

    ui.timer(0.05, look, once=True)


def _row(found: DatasetRow, cells: dict[str, ui.element]) -> Sequence[Content]:
    newest = found.newest

    def name() -> None:
        data_link(found.name)
        if found.title:
            text("span", found.title, "hub-under")

    def version() -> None:
        if newest is None:
            text("span", NONE)
            return
        data_link(newest.reference, newest.version)
        under = [*newest.tags, f"{found.versions:,} version(s)"]
        text("span", " · ".join(under), "hub-under")

    def samples() -> None:
        text("span", number(newest.samples if newest else None))
        if newest:
            splits = " / ".join(number(count) for count in newest.splits.values())
            text("span", splits, "hub-under", title=" / ".join(newest.splits))

    def bytes_() -> None:
        text("span", size(newest.size if newest else None))
        if found.versions > 1:
            text("span", f"{size(found.size)} in all", "hub-under")

    def commit() -> None:
        text("span", when(newest.created if newest else None))
        if newest:
            text("span", newest.created_by, "hub-under")

    return (
        name,
        version,
        samples,
        number(newest.files if newest else None),
        bytes_,
        lambda: quality_chip(found.quality),
        commit,
        _landing_cell(found, cells),
    )


def _landing_cell(found: DatasetRow, cells: dict[str, ui.element]) -> Callable[[], None]:
    def add() -> None:
        if found.kind == "processed":
            text("span", "made by a function", "hub-note")
        elif found.kind == "not declared":
            text("span", "not declared any more", "hub-note")
        else:
            cells[found.name] = ui.element("div")
            with cells[found.name]:
                text("span", "listing …", "hub-note")

    return add


async def _fill(cell: ui.element, name: str) -> None:
    """Show what has landed; one landing that cannot be listed leaves the others alone."""
    try:
        found = await read(_landing, name)
    except MlopsError as error:
        cell.clear()
        with cell:
            text("span", "cannot be listed", "hub-removed", title=redacted(str(error)))
        return
    cell.clear()
    with cell:
        ui.link(landing_text(found), f"{data_path(name)}?tab=landing")


def _landing(store: Store, name: str) -> LandingView:
    return landing(store, hub().datasets, name)


def landing_text(found: LandingView) -> str:
    """Return what has landed and is not committed, in a few words."""
    if found.problems:
        return f"{len(found.problems):,} problem(s)"
    if not found.files:
        return "empty"
    counts = {"new": found.added, "changed": found.changed, "gone": found.removed}
    parts = [f"{count:,} {name}" for name, count in counts.items() if count]
    if not parts:
        return "committed" if not found.touched else f"{found.touched:,} written again"
    return ", ".join(parts)
