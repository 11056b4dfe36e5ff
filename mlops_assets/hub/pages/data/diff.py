"""`/data/NAME@A/diff/B`: what version B changed against version A."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui
from pydantic import JsonValue

from mlops_assets.datasets.diff.distribution_shift import ClassBalance, FeatureShift
from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.data.parts import later, signed, style
from mlops_assets.hub.pages.parts.cards import Content, card, facts, table, title
from mlops_assets.hub.pages.parts.navigation import pager, whole
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.texts import NONE, checksum, number, size, text
from mlops_assets.hub.views.addresses import diff_path
from mlops_assets.hub.views.data.diff import (
    LISTS,
    ROWS_A_PAGE,
    DiffRows,
    DiffView,
    Listed,
    diff_rows,
    version_diff,
)
from mlops_assets.names import Reference

MAX_CELL = 80  # characters of a checksum or value


class DiffPage:
    """The page of the differences of two data versions."""

    def __init__(self, before: Reference, after: Reference) -> None:
        self.before = before
        self.after = after
        query = ui.context.client.request.query_params
        self.listed: Listed | None = LISTS.get(query.get("list", ""))
        self.page = whole(query.get("page"))
        self.path = diff_path(before, after.what or "")

    async def build(self) -> None:
        """Build the page."""
        style()
        title(f"{self.before} → {self.after.what}", "Differences")
        with ui.element("div").classes("hub-row hub-actions"):
            data_link(self.before)
            data_link(self.after)
            ui.link("The other way round", diff_path(self.after, self.before.what or ""))
        later(
            lambda: read(version_diff, self.before, self.after),
            self._show,
            "Comparing; large versions take a while …",
        )

    def _show(self, found: DiffView) -> None:
        if found.same:
            with card("Same content"):
                text("p", f"{found.before} and {found.after} have the same content.")
        with ui.element("div").classes("hub-grid"):
            with card("Files"):
                facts({**self._counts(found, "files"), "Unchanged": number(found.unchanged_files)})
            with card("Samples"):
                facts(
                    {
                        **self._counts(found, "samples"),
                        "In files with other bytes": number(found.rewritten),
                        "Unchanged": number(found.unchanged_samples),
                    }
                )
        self._rows(found)
        _classes(found)
        _shifts(found)
        if found.declaration:
            with card("Declaration"):
                rows = [
                    (change.what, _value(change.before), _value(change.after))
                    for change in found.declaration
                ]
                table("Changed settings", ["Setting", "Before", "After"], rows)

    def _counts(self, found: DiffView, of: str) -> dict[str, Content]:
        counts: dict[str, Content] = {}
        for name, count in found.counts.items():
            what, _, how = name.partition(" ")
            if what == of:
                counts[how.capitalize()] = self._count(name, count)
        return counts

    def _count(self, name: str, count: int) -> Content:
        if not count:
            return "0"
        return lambda: ui.link(number(count), f"{self.path}?list={name.replace(' ', '+')}#rows")

    def _rows(self, found: DiffView) -> None:
        listed = self.listed or next(
            (LISTS[name] for name, count in found.counts.items() if count), None
        )
        if listed is None:
            return
        with card(listed.capitalize()) as body:
            body.props["id"] = "rows"
            later(
                lambda: read(diff_rows, self.before, self.after, listed, self.page),
                self._listed,
                "Reading …",
            )

    def _listed(self, found: DiffRows) -> None:
        if not found.total:
            text("p", "None.")
            return
        rows = [
            [_cell(name, value) for name, value in zip(found.columns, row, strict=True)]
            for row in found.rows
        ]
        names = [name.replace("_", " ") for name in found.columns]
        table(found.listed, names, rows, ["size", "size before", "row", "column"])
        pager(self.path, {"list": found.listed}, found.page, ROWS_A_PAGE, found.total)


def _classes(found: DiffView) -> None:
    if not (found.classes or found.balance or found.moves):
        return
    with card("Classes and splits"):
        if found.moves:
            moves = [
                f"{move.before or 'left out'} → {move.after or 'left out'}: {number(move.samples)}"
                for move in found.moves
            ]
            text("p", f"Samples that changed their split: {'; '.join(moves)}")
        if found.classes:
            rows = [(each.value, each.before, each.after) for each in found.classes]
            table("Changed classes", ["Value", "Name before", "Name after"], rows)
        if found.balance:
            _balance(found.balance)


def _balance(found: Sequence[ClassBalance]) -> None:
    names = list(dict.fromkeys(name for each in found for name in each.before))
    columns = ["Class", *(each.split for each in found)]
    rows: list[list[str]] = []
    for name in names:
        row = [name]
        for each in found:
            before, after = each.before.get(name, 0), each.after.get(name, 0)
            change = f" ({signed(after - before)})" if after != before else ""
            row.append(f"{number(before)} → {number(after)}{change}")
        rows.append(row)
    distances = [number(each.total_variation, 3) for each in found]
    rows.append(["distance of the balance", *distances])
    table("Classes by split", columns, rows, columns[1:])
    text(
        "p",
        f"Counts of {found[0].of}. Distance of the balance (total variation): 0 the same shares, 1"
        " no class in common.",
        "hub-note",
    )


def _shifts(found: DiffView) -> None:
    with card("Bands and features"):
        if found.not_compared:
            text("p", found.not_compared)
        changed = {
            "Added": ", ".join(found.features_added),
            "Removed": ", ".join(found.features_removed),
            "Order": "changed" if found.features_reordered else "",
        }
        facts({name: value for name, value in changed.items() if value})
        for each in found.numbers:
            text(
                "p",
                f"{each.split}: label {number(each.mean_before)} ± {number(each.std_before)} →"
                f" {number(each.mean_after)} ± {number(each.std_after)}",
            )
        if found.shifts:
            text(
                "p",
                f"{found.shifted:,} are shifted notably: by more than {found.notable:g} standard"
                f" deviations. The {len(found.shifts)} most shifted, over training samples:",
            )
            columns = ["Band or feature", "Mean", "Standard deviation", "Shift"]
            table("Shifts", columns, [_shift(each) for each in found.shifts], columns[1:])


def _shift(each: FeatureShift) -> tuple[str, str, str, str]:
    return (
        each.feature,
        f"{number(each.mean_before)} → {number(each.mean_after)}",
        f"{number(each.std_before)} → {number(each.std_after)}",
        number(each.standardised_mean_difference, 3),
    )


def _cell(name: str, value: JsonValue) -> Content:
    """Return a value of a list: checksums shortened, bytes with their unit."""
    if name.startswith("sha256"):
        return lambda: checksum(str(value))
    if name.startswith("size") and isinstance(value, int):
        return size(value)
    if name == "path":
        return lambda: text("span", str(value), "hub-path")
    return _value(value)


def _value(value: object) -> str:
    """Return a value as text, shortened."""
    if value is None:
        return NONE
    shown = str(value)
    return shown if len(shown) <= MAX_CELL else f"{shown[:MAX_CELL]}…"
