"""What has landed of a dataset: preview of the split, and the commit."""

from __future__ import annotations

from nicegui import ui

from mlops_assets.hub.data_commits import start_commit
from mlops_assets.hub.orchestration.launcher import Launched
from mlops_assets.hub.pages.caller import hub, perform, read
from mlops_assets.hub.pages.data.parts import SPLITS, later
from mlops_assets.hub.pages.parts.buttons import button, refusal
from mlops_assets.hub.pages.parts.cards import card, empty, facts, table
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.texts import NONE, checksum, number, size, state, text, when
from mlops_assets.hub.views.addresses import launched_path
from mlops_assets.hub.views.data.landing import LandingView, landing
from mlops_assets.hub.views.data.preview import CommitPreview, SeedPreview, commit_preview
from mlops_assets.principals import Role
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted

MAX_TRIED = 20  # seeds


def show_landing(name: str) -> None:
    """Add the state of the landing of a dataset, and what commits it.

    Args:
        name: of the dataset.
    """
    with card("Landing"):
        later(lambda: read(_landing, name), _state, "Listing the landing …")
    with card("Commit", "A preview reads the landing as a commit does, and writes nothing."):
        _Commit(name).build()


def _landing(store: Store, name: str) -> LandingView:
    return landing(store, hub().datasets, name)


def _state(found: LandingView) -> None:
    for line in found.problems:
        text("p", redacted(line)).props("role=alert")
    if not found.files and not found.problems:
        empty(f"Nothing has landed in {found.url}. Copy files there, then commit them.")
        return
    newest = found.newest or "no version"
    facts(
        {
            "Where": found.url,
            "Files": f"{number(found.files)}, {size(found.size)}",
            "Last change": when(found.last_change),
            "Compared with": (
                (lambda: data_link(f"{found.dataset}@{found.newest}", newest))
                if found.newest
                else newest
            ),
            "New files": f"{number(found.added)}, {size(found.added_size)}",
            "Changed files": number(found.changed),
            "Written again": (
                f"{number(found.touched)}; the preview finds whether their bytes differ"
                if found.touched
                else "0"
            ),
            "Gone files": number(found.removed),
        }
    )
    if not found.is_new and not found.problems:
        text("p", f"All of it is in {newest}.")
    if found.first:
        rows = [(file.path, size(file.size)) for file in found.first]
        table("New files", ["New file", "Size"], rows, ["Size"])
        if found.added > len(found.first):
            text("p", f"… and {found.added - len(found.first):,} more.", "hub-note")


class _Commit:
    """The preview of a commit, and the button that starts it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.previewed: CommitPreview | None = None

    def build(self) -> None:
        """Add fields and buttons."""
        refused = refusal(Role.SCIENTIST, "commit data")
        with ui.element("div").classes("hub-row hub-fields"):
            self.seeds = ui.number("Other seeds to try", value=0, min=0, max=MAX_TRIED, precision=0)
            self.seeds.props("outlined dense").classes("w-48")
            button("Preview", self._preview, refused)
            button("Commit", self._commit, refused)
        if refused:
            text("p", refused, "hub-note")
        self.body = ui.element("div").classes("hub-later").props("aria-live=polite")

    async def _preview(self) -> None:
        self.body.clear()
        with self.body:
            text("p", "Reading the landing …", "hub-note")
        seeds = range(int(min(max(self.seeds.value or 0, 0), MAX_TRIED)))
        found = await perform(_previewed, self.name, seeds)
        self.body.clear()
        self.previewed = found
        if found is not None:
            with self.body:
                _show_preview(found)

    async def _commit(self) -> None:
        known = self.previewed.fingerprint if self.previewed else None
        launched = await perform(_started, self.name, known)
        if launched is not None:
            if launched.notice:
                ui.notify(launched.notice, type="warning")
            ui.navigate.to(launched_path(launched.orchestration_run))


def _previewed(store: Store, name: str, seeds: range) -> CommitPreview:
    return commit_preview(store, hub().datasets, name, seeds)


def _started(store: Store, name: str, fingerprint: str | None) -> Launched:
    return start_commit(store, hub().launcher, hub().datasets, name, fingerprint or None)


def _show_preview(found: CommitPreview) -> None:
    if found.problems:
        text("h3", f"{len(found.problems):,} problem(s): a commit would be refused")
        with ui.element("ul"):
            for line in found.problems:
                text("li", redacted(line))
        return
    unchanged = found.unchanged

    def version() -> None:
        if unchanged is None:
            state("new")
            text("span", " a commit makes a new version")
        elif unchanged.startswith("v"):
            text("span", "this content is already ")
            data_link(f"{found.dataset}@{unchanged}", unchanged)
        else:
            text("span", f"this content is already {unchanged}")

    facts(
        {
            "Version": version,
            "Files": f"{number(found.files)}, {size(found.size)}",
            "Digest": lambda: checksum(found.digest),
            "Split": found.method.replace("_", " "),
        }
    )
    for line in found.notes:
        text("p", f"Note: {redacted(line)}", "hub-note")
    ordered = sorted(found.seeds, key=lambda each: not each.declared)
    for each in ordered:
        _seed(each, found.counted)


def _seed(found: SeedPreview, counted: str) -> None:
    declared = " (declared)" if found.declared else ""
    text("h3", f"Seed {found.seed}{declared}: {counted} of each class")
    rows = [
        [each.name, number(each.train), number(each.validation), number(each.test)]
        for each in found.classes
    ]
    totals = [sum(getattr(each, split) for each in found.classes) for split in SPLITS]
    rows.append(["all", *map(number, totals)])
    table(f"Split by seed {found.seed}", ["Class", *SPLITS], rows, SPLITS)
    lacking = [f"{split}: {', '.join(names)}" for split, names in found.absent.items()]
    lacking += [f"{split} is empty" for split in found.empty]
    facts(
        {
            "Left out": number(found.left_out),
            "Lacking classes": "; ".join(lacking) or NONE,
            **({"Refused": found.refused} if found.refused else {}),
        }
    )
