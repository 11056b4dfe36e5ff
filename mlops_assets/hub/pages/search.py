"""The page of the search."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import Response
from fastapi.responses import RedirectResponse
from nicegui import ui

from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.frame import page, problem
from mlops_assets.hub.pages.header import search_form
from mlops_assets.hub.pages.parts.cards import card, title
from mlops_assets.hub.pages.parts.texts import text, when
from mlops_assets.hub.views import addresses
from mlops_assets.hub.views.search.found import Found, Group, Hit, Kind
from mlops_assets.hub.views.search.search import search

PAGE = 50  # hits where one kind is shown
_TITLES = {
    Kind.DATASET: "Datasets",
    Kind.DATA_VERSION: "Data versions",
    Kind.MODEL: "Models",
    Kind.MODEL_VERSION: "Model versions",
    Kind.RUN: "Runs",
    Kind.MAP: "Maps",
    Kind.AREA: "Areas",
    Kind.DEPLOYMENT: "Deployments",
    Kind.FILE: "Versions with this file",
    Kind.RECORD: "STAC records",
}


@page("/search", "Search")
async def search_page(
    q: str = "", kind: str = "", first: str = "0", stay: str = ""
) -> Response | None:
    """Build the page; what is named exactly is opened instead.

    Args:
        q: text that is searched for.
        kind: the one that is shown in full; all if empty.
        first: number of the first hit of it.
        stay: anything, to see what is found although the text names something exactly.
    """
    title("Search")
    one = [each for each in Kind if each == kind]
    start = int(first) if first.isascii() and first.isdigit() and len(first) < 8 else 0
    if not q.strip():
        search_form(label="Search")
        text(
            "p",
            "Type a reference such as fields@v2 or crops_cnn@production, the beginning of a run id,"
            " a sha256, or a part of a name, tag, note or title.",
            "hub-note",
        )
        return None
    if one:
        found = await read(search, q, one, start, PAGE)
    else:
        found = await read(search, q)
    if found.exact and not kind and not stay:
        return RedirectResponse(found.exact, HTTPStatus.SEE_OTHER)
    search_form(found.text, "Search")
    ui.page_title(f"{found.text[:60]} · Search · mlops_assets")
    if found.notice:
        problem(found.notice)
    _summary(found)
    for group in found.groups:
        _group(group, found.text, start if one else 0, bool(one))
    return None


def _summary(found: Found) -> None:
    if not found.groups:
        text("p", f"Nothing is found for “{found.text}”.", "hub-note").props["role"] = "status"
        text(
            "p",
            "Names match in part; run ids and digests by their beginning. What you may not see is"
            " not found.",
            "hub-note",
        )


def _group(group: Group, searched: str, first: int, in_full: bool) -> None:
    total = "many" if group.total is None else f"{group.total:,}"
    with card(f"{_TITLES[group.kind]} ({total})"):
        with ui.element("ul").classes("hub-hits"):
            for hit in group.hits:
                _hit(hit)
        shown = first + len(group.hits)
        more = group.total is None or group.total > shown
        if not in_full and more:
            ui.link("Show all", addresses.search_path(searched, group.kind))
        if in_full and (first or more):
            with ui.element("nav").classes("hub-pages").props('aria-label="Pages"'):
                text("span", f"{first + 1:,} to {shown:,} of {total}", "hub-note hub-number")
                if first:
                    before = max(0, first - PAGE)
                    ui.link("Previous", addresses.search_path(searched, group.kind, before))
                if more:
                    ui.link("Next", addresses.search_path(searched, group.kind, shown))


def _hit(hit: Hit) -> None:
    with ui.element("li"):
        ui.link(hit.reference, hit.path).classes("hub-strong")
        text("span", hit.detail)
        if hit.moment is not None:
            text("span", when(hit.moment), "hub-note hub-number")
