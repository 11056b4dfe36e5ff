"""`/models/NAME@WHAT`: one model version."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from urllib.parse import quote

from nicegui import ui

from mlops_assets.hub.pages.caller import hub, read
from mlops_assets.hub.pages.live import on_change
from mlops_assets.hub.pages.models.chain import ShownChain
from mlops_assets.hub.pages.models.decisions import DecisionButtons
from mlops_assets.hub.pages.models.evidence import show_metrics, show_overview
from mlops_assets.hub.pages.models.maps import file_path, show_maps
from mlops_assets.hub.pages.models.parts import problems, style
from mlops_assets.hub.pages.parts.cards import card, table, title
from mlops_assets.hub.pages.parts.navigation import address, chosen_tab, tabs
from mlops_assets.hub.pages.parts.references import model_link
from mlops_assets.hub.pages.parts.snippets import snippets
from mlops_assets.hub.pages.parts.texts import checksum, size, state, text
from mlops_assets.hub.views.addresses import model_path
from mlops_assets.hub.views.models.maps import PAGE as MAPS
from mlops_assets.hub.views.models.maps import maps_of
from mlops_assets.hub.views.models.version.chain import version_chain
from mlops_assets.hub.views.models.version.files import PublishedFile, version_files
from mlops_assets.hub.views.models.version.snippets import version_snippets
from mlops_assets.hub.views.models.version.state import version_marker
from mlops_assets.hub.views.models.version.view import VersionView, version_view
from mlops_assets.names import Reference

TABS = {
    "overview": "Overview",
    "metrics": "Metrics",
    "chain": "Chain",
    "maps": "Maps",
    "card": "Card",
    "files": "Files",
    "use": "Use",
}


class VersionPage:
    """The page of a model version; of an alias, it shows the version that this names now."""

    def __init__(self, reference: Reference, tab: str, page: int) -> None:
        self.reference = reference
        self.tab = chosen_tab(TABS, tab)
        self.page = max(1, page)
        self.path = model_path(reference)
        self._marker: object = None

    async def build(self) -> None:
        """Build the page."""
        style()
        self._marker = await read(version_marker, self.reference)
        self._title = ui.element("div")
        # dialogs stay while the content is replaced
        self._dialogs = ui.element("div")
        self._body = ui.element("div")
        await self._show()
        on_change(self._follow)

    async def _follow(self) -> None:
        """Show the version again if anything was decided on it, or the alias has moved."""
        marker = await read(version_marker, self.reference)
        if marker != self._marker:
            self._marker = marker
            await self._show()

    async def _show(self) -> None:
        specification = hub().models.models.get(self.reference.name)
        view = await read(version_view, specification, self.reference)
        content = await self._read_tab(view)
        self._title.clear()
        with self._title:
            title(str(self.reference), view.title or "Model version")
            _names(view)
        self._body.clear()
        with self._body:
            problems(view.problems)
            DecisionButtons(view, self._dialogs, self._show).show()
            tabs(self.path, TABS, self.tab)
            content()

    async def _read_tab(self, view: VersionView) -> Callable[[], object]:
        """Return a function that shows a tab, whose content is read before."""
        version = Reference(view.model, view.version)
        if self.tab == "metrics":
            return lambda: show_metrics(view)
        if self.tab == "chain":
            chain = await read(version_chain, version)
            return lambda: ShownChain(version, chain)
        if self.tab == "maps":
            maps = await read(maps_of, view.model, view.version, self.page)
            path = address(self.path, {"tab": "maps"})
            return lambda: show_maps(view.model, maps, self.page, path, MAPS)
        if self.tab == "card":
            return lambda: _card(view)
        if self.tab == "files":
            files = await read(version_files, version)
            return lambda: _files(view, files)
        if self.tab == "use":
            codes = await read(version_snippets, self.reference)
            return lambda: _use(codes)
        return lambda: show_overview(view)


def _names(view: VersionView) -> None:
    """Add the version and the aliases that it has now."""
    with ui.element("div").classes("hub-row").style("margin: -8px 0 12px"):
        model_link(view.model, f"all versions of {view.model}")
        if view.asked != view.version:
            text("span", "now")
            model_link(f"{view.model}@{view.version}", view.version)
        for alias in view.aliases:
            state(alias)
        text("span", view.visibility, "hub-state", title=view.visibility_reason or "")
        if view.deprecated is not None:
            made = view.deprecated
            state("deprecated")
            text("span", f"by {made.decided_by}: {made.reason}", "hub-note")


def _card(view: VersionView) -> None:
    name, version = quote(view.model, safe=""), quote(view.version, safe="")
    path = f"/api/v1/models/{name}/{version}/card"
    with card("Model card", "As it was published, with gates, decisions and signatures of today."):
        ui.link("Open it alone", path, new_tab=True)
        frame = ui.element("iframe").classes("hub-card-frame")
        frame.props.update(
            {"src": path, "sandbox": "", "title": f"Model card of {view.model}@{view.version}"}
        )


def _files(view: VersionView, found: list[PublishedFile]) -> None:
    with card("Files", "Each is compared with its sha256 before it is sent."):
        table(
            f"Files of {view.model}@{view.version}",
            ("file", "size", "sha256"),
            [
                [
                    partial(ui.link, file.name, file_path(view.model, view.version, file.name)),
                    size(file.size),
                    partial(checksum, file.sha256, 16),
                ]
                for file in found
            ],
            numeric=("size",),
        )


def _use(codes: dict[str, str]) -> None:
    with card("Use it"):
        snippets(codes, "Code that uses this version")
