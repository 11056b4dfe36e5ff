"""`/data/NAME`: the versions of a dataset, what has landed, and the bytes that versions take."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nicegui import ui

from mlops_assets.errors import MlopsError
from mlops_assets.hub.pages.caller import hub, read
from mlops_assets.hub.pages.data.landing import show_landing
from mlops_assets.hub.pages.data.parts import quality_chip, signed, style
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.parts.buttons import button
from mlops_assets.hub.pages.parts.cards import Content, card, empty, facts, table, title
from mlops_assets.hub.pages.parts.navigation import pager, tabs, whole
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.texts import NONE, number, size, text, when
from mlops_assets.hub.views.addresses import data_path, diff_path
from mlops_assets.hub.views.data.dataset import (
    VERSIONS_A_PAGE,
    DatasetView,
    TimelineVersion,
    dataset,
)
from mlops_assets.hub.views.data.files.changes import VersionChanges, version_changes
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

TABS = {"versions": "Versions", "landing": "Landing and commit", "storage": "Storage"}
TIMELINE = ("Version", "Committed", "Samples", "Classes", "Files", "New bytes", "Checks")
STORAGE = ("Version", "Files", "Size", "New bytes", "Objects", "In packs", "By reference")
Show = Callable[[VersionChanges], object]


class DatasetPage:
    """The page of a dataset."""

    def __init__(self, name: str) -> None:
        self.name = name
        query = ui.context.client.request.query_params
        wanted = query.get("tab", "")
        self.tab = wanted if wanted in TABS else next(iter(TABS))
        self.page = whole(query.get("page"))
        self.path = data_path(name)
        self._shown: DatasetView | None = None

    async def build(self) -> None:
        """Build the page."""
        style()
        found = await read(_dataset, self.name, self.page)
        title(self.name, found.title or "Dataset")
        _facts(found)
        shown = dict(TABS)
        if found.kind != "landing":
            del shown["landing"]
            self.tab = "versions" if self.tab == "landing" else self.tab
        tabs(self.path, shown, self.tab)
        if self.tab == "landing":
            # a commit by anybody shows there by itself: what was entered must stay
            show_landing(self.name)
            return
        self._body = ui.element("div")
        self._fill(found)
        on_change(self._refresh)

    async def _refresh(self) -> None:
        found = await read(_dataset, self.name, self.page)
        if found != self._shown:
            self._body.clear()
            self._fill(found)

    def _fill(self, found: DatasetView) -> None:
        self._shown = found
        with self._body:
            if not found.versions:
                _no_version(found)
            elif self.tab == "storage":
                self._storage(found)
            else:
                self._versions(found)

    def _versions(self, found: DatasetView) -> None:
        cells: dict[str, tuple[ui.element, Show]] = {}
        with card("Versions", "Newest first; each is compared with the one before."):
            columns = [*TIMELINE, "Models", "Visibility"]
            rows = [self._version(each, cells) for each in found.timeline]
            table("Versions", columns, rows, ["Samples", "New bytes", "Models"])
            parts = {"tab": None if self.tab == "versions" else self.tab}
            pager(self.path, parts, found.page, VERSIONS_A_PAGE, found.versions)
        _fill_later(cells)
        if found.versions > 1:
            with card("Compare two versions"):
                _compare(found)

    def _version(
        self, each: TimelineVersion, cells: dict[str, tuple[ui.element, Show]]
    ) -> Sequence[Content]:
        row = each.version

        def version() -> None:
            data_link(row.reference, row.version)
            if row.tags:
                text("span", ", ".join(row.tags), "hub-under")

        def committed() -> None:
            text("span", when(row.created))
            text("span", f"by {row.created_by}", "hub-under")
            if each.origin != "landed":
                text("span", each.origin, "hub-under")

        def samples() -> None:
            text("span", number(row.samples))
            if each.samples_added is not None:
                text("span", signed(each.samples_added) or "as before", "hub-under")

        def classes() -> None:
            for sign, names, look in (
                ("+", each.classes_added, "hub-added"),
                ("−", each.classes_removed, "hub-removed"),
            ):
                if names:
                    text("span", f"{sign} {', '.join(names)}", f"hub-under {look}")
            if not each.classes_added and not each.classes_removed:
                text("span", NONE if each.before is None else "as before", "hub-note")

        def files() -> None:
            cell = ui.element("div")
            with cell:
                text("span", number(row.files))
            if each.before is not None:
                ui.link(
                    f"compare with {each.before}",
                    diff_path(Reference(row.dataset, each.before), row.version),
                )
            cells[f"{row.reference} files"] = cell, lambda found: _files(row.files, found)

        def new_bytes() -> None:
            cell = ui.element("div")
            with cell:
                text("span", "reading …", "hub-note")
            cells[f"{row.reference} bytes"] = (
                cell,
                lambda found: text("span", size(found.files.new_bytes)),
            )

        return (
            version,
            committed,
            samples,
            classes,
            files,
            new_bytes,
            lambda: quality_chip(each.quality),
            number(each.models),
            row.visibility,
        )

    def _storage(self, found: DatasetView) -> None:
        cells: dict[str, tuple[ui.element, Show]] = {}
        with card(
            "Storage",
            "Size is what a recall writes. New bytes are those that the version before does not"
            " have: versions share equal files.",
        ):
            rows = [_stored(each, cells) for each in found.timeline]
            table("Bytes of versions", STORAGE, rows, STORAGE[1:])
            pager(self.path, {"tab": "storage"}, found.page, VERSIONS_A_PAGE, found.versions)
        _fill_later(cells)


def _dataset(store: Store, name: str, page: int) -> DatasetView:
    return dataset(store, hub().datasets, name, page)


def _facts(found: DatasetView) -> None:
    origin = {
        "landing": found.landing,
        "processed": f"made from {', '.join(found.made_from)} by {found.function}",
        "not declared": "not declared by this project any more",
    }
    with card("About"):
        if found.description:
            text("p", found.description)
        facts(
            {
                "License": found.license,
                "Files": f"{found.layout}; {origin[found.kind]}",
                "Split": found.split,
                "Tags": (lambda: _tags(found)) if found.tags else None,
            }
        )


def _tags(found: DatasetView) -> None:
    with ui.element("span").classes("hub-row"):
        for tag, version in found.tags.items():
            data_link(f"{found.name}@{tag}", f"{tag} → {version}")


def _no_version(found: DatasetView) -> None:
    with card("No version yet"):
        where = f"Land files in {found.landing}, then commit them." if found.landing else ""
        empty(where or "Commit it.", f"mlops dataset commit {found.name}")


def _files(count: int, found: VersionChanges) -> None:
    """Show the number of files, and how many differ from the version before."""
    text("span", number(count))
    if found.before is None:
        return
    files = found.files
    parts = {"added": files.added, "removed": files.removed, "changed": files.changed}
    changed = ", ".join(f"{number(count)} {how}" for how, count in parts.items() if count)
    text("span", changed or "the same files", "hub-under")


def _stored(each: TimelineVersion, cells: dict[str, tuple[ui.element, Show]]) -> Sequence[Content]:
    row = each.version

    def cell(name: str, show: Show) -> Callable[[], None]:
        def add() -> None:
            body = ui.element("div")
            with body:
                text("span", "reading …", "hub-note")
            cells[f"{row.reference} {name}"] = body, show

        return add

    def kept(count: int, total: int) -> None:
        text("span", number(count))
        if count:
            text("span", size(total), "hub-under")

    return (
        lambda: data_link(row.reference, row.version),
        number(row.files),
        size(row.size),
        cell("new", lambda found: text("span", size(found.files.new_bytes))),
        cell("object", lambda found: kept(found.kept.objects, found.kept.object_bytes)),
        cell("pack", lambda found: kept(found.kept.packed, found.kept.packed_bytes)),
        cell("away", lambda found: kept(found.kept.referenced, found.kept.referenced_bytes)),
    )


def _fill_later(cells: dict[str, tuple[ui.element, Show]]) -> None:
    """Read what versions changed once the page is shown, one version after the other."""

    async def fill() -> None:
        found: dict[str, VersionChanges | None] = {}
        for name, (cell, show) in cells.items():
            reference, _, _ = name.partition(" ")
            if reference not in found:
                found[reference] = await _changes(cell, reference)
            changes = found[reference]
            if changes is not None and not cell.is_deleted:
                cell.clear()
                with cell:
                    show(changes)

    ui.timer(0.05, fill, once=True)


async def _changes(cell: ui.element, reference: str) -> VersionChanges | None:
    try:
        return await read(version_changes, Reference.parse(reference))
    except MlopsError as error:
        cell.clear()
        with cell:
            text("span", "cannot be read", "hub-removed", title=redacted(str(error)))
        return None


def _compare(found: DatasetView) -> None:
    versions = [each.version.version for each in found.timeline]
    names = [*versions, *found.tags]
    with ui.element("div").classes("hub-row hub-fields"):
        older = versions[1] if len(versions) > 1 else versions[0]
        before = ui.select(names, label="From", value=older, with_input=True)
        after = ui.select(names, label="To", value=versions[0], with_input=True)
        for field in (before, after):
            field.props("outlined dense options-dense").classes("w-48")

        async def compare() -> None:
            ui.navigate.to(diff_path(Reference(found.name, before.value), str(after.value)))

        button("Compare", compare)
