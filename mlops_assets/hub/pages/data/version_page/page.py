"""`/data/NAME@WHAT`: a data version, its quality, values, files, and how to use it."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

from nicegui import ui

from mlops_assets.hub.pages.caller import hub, principal, read
from mlops_assets.hub.pages.data.parts import later, quality_chip, style
from mlops_assets.hub.pages.data.version_page.bands import show_bands
from mlops_assets.hub.pages.data.version_page.decide import ask_tag, ask_visibility
from mlops_assets.hub.pages.data.version_page.descendants import show_descendants
from mlops_assets.hub.pages.data.version_page.files import FilesPart
from mlops_assets.hub.pages.data.version_page.quality import (
    show_checks,
    show_class_balance,
    show_quality,
)
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.parts.buttons import button, refusal
from mlops_assets.hub.pages.parts.cards import Content, card, facts, title
from mlops_assets.hub.pages.parts.footprints import footprints
from mlops_assets.hub.pages.parts.navigation import tabs
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.snippets import snippets
from mlops_assets.hub.pages.parts.texts import NONE, checksum, number, size, text, when
from mlops_assets.hub.views.addresses import data_path, diff_path, train_path
from mlops_assets.hub.views.data.quality import QualityView, quality
from mlops_assets.hub.views.data.snippets import Snippet
from mlops_assets.hub.views.data.snippets import snippets as snippets_of
from mlops_assets.hub.views.data.version import (
    DataVersionView,
    data_version,
    descendants,
)
from mlops_assets.hub.views.footprints import data_footprints
from mlops_assets.names import Reference
from mlops_assets.principals import Role
from mlops_assets.store import Store

TABS = {
    "overview": "Overview",
    "quality": "Quality",
    "bands": "Values",
    "map": "Footprints",
    "files": "Files",
    "use": "Use it",
}
MAX_NAMED = 8  # features


class VersionPage:
    """The page of a data version."""

    def __init__(self, reference: Reference) -> None:
        self.reference = reference
        wanted = ui.context.client.request.query_params.get("tab", "")
        self.tab = wanted if wanted in TABS else next(iter(TABS))
        self.path = data_path(reference)
        self._shown: DataVersionView | None = None

    async def build(self) -> None:
        """Build the page."""
        style()
        found = await read(_version, self.reference)
        title(str(self.reference), found.title or "Data version")
        # dialogs stay while the content is replaced
        self._dialogs = ui.element("div")
        self._head = ui.element("div")
        self._show_head(found)
        tabs(self.path, TABS, self.tab)
        self._body = ui.element("div")
        with self._body:
            await self._show_body(found)
        on_change(self._refresh)

    async def _show_body(self, found: DataVersionView) -> None:
        if self.tab == "files":
            await FilesPart(self.path, found).build()
        elif self.tab == "bands":
            await show_bands(self.path, Reference.parse(found.version.reference))
        elif self.tab == "quality":
            await show_quality(Reference.parse(found.version.reference), found)
        elif self.tab == "map":
            own = Reference.parse(found.version.reference)
            view = await read(data_footprints, own)
            with card("Footprints"):
                footprints(view, f"{data_path(own)}/samples")
        elif self.tab == "use":
            await self._use(found)
        else:
            self._overview(found)

    async def _refresh(self) -> None:
        found = await read(_version, self.reference)
        before = self._shown
        if found == before:
            return
        self._head.clear()
        self._show_head(found)
        assessed = before is None or (
            (found.quality, found.collection) != (before.quality, before.collection)
        )
        # what files are filtered by, and the place of a map, stay
        if assessed and self.tab not in ("files", "map"):
            self._body.clear()
            with self._body:
                await self._show_body(found)

    def _show_head(self, found: DataVersionView) -> None:
        self._shown = found
        row = found.version
        own = Reference(row.dataset, row.version)
        with self._head:
            with ui.element("div").classes("hub-row hub-actions"):
                if self.reference.what != row.version:
                    text("span", f"{self.reference} is now")
                    data_link(row.reference, row.version)
                data_link(row.dataset, "All versions")
                ui.link("Samples", f"{data_path(own)}/samples")
                if found.before:
                    before = Reference(row.dataset, found.before)
                    ui.link(f"Compare with {found.before}", diff_path(before, row.version))
                if found.newest != row.version:
                    data_link(f"{row.dataset}@{found.newest}", f"Newest: {found.newest}")
                if any(model.dataset == row.dataset for model in hub().models.models.values()):
                    ui.link("Train on it", train_path(data=str(self.reference)))
                button("Add a tag …", self._tag, refusal(Role.SCIENTIST, "tag data"))
                button("Change visibility …", self._see, _may_not_hide(found))
            if self.tab != "overview":
                return
            with card("About"):
                if found.description:
                    text("p", found.description)
                with ui.element("div").classes("hub-grid"):
                    facts(_content(found))
                    facts(_origins(found))

    async def _tag(self) -> None:
        if self._shown is not None:
            with self._dialogs:
                await ask_tag(self._shown)
            await self._refresh()

    async def _see(self) -> None:
        if self._shown is not None:
            with self._dialogs:
                await ask_visibility(self._shown)
            await self._refresh()

    def _overview(self, found: DataVersionView) -> None:
        own = Reference.parse(found.version.reference)
        with ui.element("div").classes("hub-grid"):
            with card("Checks"):
                later(lambda: read(_quality, own), _checks(found), "Reading the quality report …")
            with card("Made from it"):
                later(lambda: read(descendants, own), show_descendants, "Reading …")
        show_class_balance(found)
        if found.notes:
            with card("Notes of the commit"), ui.element("ul"):
                for note in found.notes:
                    text("li", note)

    async def _use(self, found: DataVersionView) -> None:
        request = ui.context.client.request
        base = hub_url(str(request.base_url))
        codes = await read(_snippets, Reference.parse(found.version.reference), base)
        with card("Use it", "Each names this version, so that it always reads the same data."):
            snippets({code.label: code.code for code in codes}, "Code that reads this version")
        with card("Record"):
            if found.collection is None:
                text("p", "It has no STAC record yet; assess it to write one.")
            else:
                path = f"/stac/collections/{quote(found.collection, safe='')}"
                facts({"STAC Collection": lambda: ui.link(found.collection or "", path)})
        with card("Declaration as committed"), ui.element("details"):
            text("summary", "Show the declaration")
            text("pre", json.dumps(found.specification, indent=2, ensure_ascii=False))


def hub_url(request_url: str) -> str:
    """Return the URL of the hub for its callers, without a slash at its end."""
    return request_url.rstrip("/")


def _version(store: Store, reference: Reference) -> DataVersionView:
    return data_version(store, hub().datasets, reference)


def _quality(store: Store, reference: Reference) -> QualityView | None:
    if data_version(store, hub().datasets, reference).quality.state == "not assessed":
        return None
    return quality(store, hub().datasets, reference)


def _snippets(store: Store, reference: Reference, base_url: str) -> list[Snippet]:
    return snippets_of(store, reference, base_url, signed_in=hub().local is None)


def _checks(found: DataVersionView) -> Callable[[QualityView | None], None]:
    return lambda shown: show_checks(shown, found.version.reference)


def _may_not_hide(found: DataVersionView) -> str | None:
    user = principal()
    if Role.OPERATOR in user.roles or user.name == found.version.created_by:
        return None
    return f"only {found.version.created_by} and operators may change it"


def _content(found: DataVersionView) -> dict[str, Content]:
    row = found.version
    shown: dict[str, Content] = {
        "Version": f"{row.version}, committed {when(row.created)} by {row.created_by}",
        "Digest": lambda: checksum(row.digest),
        "Tags": ", ".join(row.tags) or None,
        "Files": f"{number(row.files)}, {size(row.size)}",
        "Samples": _samples(found),
        "Split": found.split,
        "Bands" if found.samples_are != "row" else "Features": _features(found),
        "Checks": lambda: quality_chip(found.quality),
    }
    if found.kept_by_reference:
        shown["Kept by reference"] = f"{number(found.kept_by_reference)} files"
    return shown


def _origins(found: DataVersionView) -> dict[str, Content]:
    row = found.version
    reason = f": {found.visibility_reason}" if found.visibility_reason else ""
    return {
        "Layout": found.layout,
        "Origin": lambda: _origin(found),
        "Place": _place(found),
        "Time": _time(found),
        "License": found.license,
        "Visibility": f"{row.visibility}{reason}",
        **({"Parameters": json.dumps(found.parameters)} if found.parameters else {}),
    }


def _samples(found: DataVersionView) -> str:
    row = found.version
    side = f" of {found.sample_size} × {found.sample_size} pixels"
    what = f"{found.samples_are}s{side if found.samples_are in ('patch', 'window') else ''}"
    what = what.replace("patchs", "patches")
    parts = [f"{number(count)} {split}" for split, count in row.splits.items()]
    if found.left_out:
        parts.append(f"{number(found.left_out)} left out")
    return f"{number(row.samples)} {what}: {', '.join(parts)}"


def _features(found: DataVersionView) -> str:
    names = found.features
    few = ", ".join(names[:MAX_NAMED])
    return few if len(names) <= MAX_NAMED else f"{len(names)}: {few}, … {names[-1]}"


def _origin(found: DataVersionView) -> None:
    if not found.inputs:
        text("span", found.landing or found.origin)
        return
    with ui.element("span").classes("hub-row"):
        text("span", "made from")
        for reference in found.inputs:
            data_link(reference)
        _, _, how = found.origin.partition(" by ")
        text("span", f"by {how}, code {found.code}")


def _place(found: DataVersionView) -> str | None:
    parts = []
    if found.bbox is not None:
        west, south, east, north = found.bbox
        across = f"{_degrees(west, 'EW')} to {_degrees(east, 'EW')}"
        parts.append(f"{across}, {_degrees(south, 'NS')} to {_degrees(north, 'NS')}")
    if found.crs:
        parts.append(", ".join(crs if len(crs) < 40 else f"{crs[:40]}…" for crs in found.crs))
    return "; ".join(parts) or None


def _degrees(value: float, sides: str) -> str:
    return f"{abs(value):.5g}° {sides[0] if value >= 0 else sides[1]}"


def _time(found: DataVersionView) -> str | None:
    if found.interval is None:
        return None
    start, end = (NONE if each is None else when(each) for each in found.interval)
    return start if start == end else f"{start} to {end}"
