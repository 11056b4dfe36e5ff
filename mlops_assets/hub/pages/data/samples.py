"""The sample browser: chips of a data version, filtered and paged on the server.

Filters are a form that asks for another page, so that every state has an address.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self
from urllib.parse import urlencode

from nicegui import ui

from mlops_assets.errors import NotFound, SpecificationError
from mlops_assets.hub.pages.caller import read
from mlops_assets.hub.pages.data.sample import show_sample
from mlops_assets.hub.pages.frame import STATIC, page, problem
from mlops_assets.hub.pages.parts.cards import card, empty, title
from mlops_assets.hub.pages.parts.references import data_link
from mlops_assets.hub.pages.parts.texts import number, text
from mlops_assets.hub.views.addresses import data_path
from mlops_assets.hub.views.samples.band_choice import chosen_composite
from mlops_assets.hub.views.samples.listing import (
    SampleFilter,
    SamplePage,
    list_samples,
)
from mlops_assets.hub.views.samples.sample import SampleRow
from mlops_assets.names import Reference

SIZES = (24, 48, 96)  # chips a page
CHIP_SIDE = 160  # pixels


@dataclass(frozen=True)
class Choice:
    """What the address of the page asks for.

    Attributes:
        wanted: which samples.
        bands: of the picture; None for the first that is offered.
        labels: whether labels are drawn over chips.
        first: how many samples are left out.
        limit: samples on the page.
    """

    wanted: SampleFilter
    bands: str | None = None
    labels: bool = False
    first: int = 0
    limit: int = SIZES[0]

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Self:
        """Read a query; what is not valid is as if it were not given."""
        limit = _whole(query.get("limit"), SIZES[0])
        return cls(
            wanted=SampleFilter(
                class_name=query.get("class") or None,
                split=query.get("split") or None,
                text=query.get("text") or None,
                suspicious=query.get("suspicious") == "true",
                order="file" if query.get("order") == "file" else "mixed",
            ),
            bands=query.get("bands") or query.get("picture") or None,
            labels=query.get("labels") == "true",
            first=_whole(query.get("first"), 0),
            limit=limit if limit in SIZES else SIZES[0],
        )

    def query(self, **changes: object) -> str:
        """Return the query of an address that asks for this.

        Args:
            **changes: parameters that differ.
        """
        wanted = self.wanted
        parts = {
            "class": wanted.class_name,
            "split": wanted.split,
            "text": wanted.text,
            "suspicious": "true" if wanted.suspicious else None,
            "order": "file" if wanted.order == "file" else None,
            "bands": self.bands,
            "labels": "true" if self.labels else None,
            "first": self.first or None,
            "limit": self.limit if self.limit != SIZES[0] else None,
            **changes,
        }
        return urlencode({name: value for name, value in parts.items() if value is not None})


@page("/data/{reference}/samples", "Samples of {reference}")
async def samples(reference: str) -> None:
    """Build the page of the samples of a data version, or of one of them."""
    ui.add_head_html(f'<link rel="stylesheet" href="{STATIC}/samples.css">')
    query = ui.context.client.request.query_params
    choice = Choice.of(query)
    parsed = Reference.parse(reference)
    if parsed.what is None:
        raise NotFound(f"name a data version, such as /data/{parsed.name}@v1/samples")
    if (index := query.get("sample")) is not None:
        if not index.isdecimal() or len(index) > 15:
            raise NotFound(f"{reference} has no sample {index!r}")
        back = f"{data_path(parsed)}/samples?{choice.query()}"
        await show_sample(parsed, int(index), choice.bands, back)
        return
    wrong = None
    try:
        found = await read(list_samples, parsed, choice.wanted, choice.first, choice.limit)
    except SpecificationError as error:  # a class or split that this version lacks
        wrong = str(error)
        choice = replace(choice, wanted=replace(choice.wanted, class_name=None, split=None))
        found = await read(list_samples, parsed, choice.wanted, choice.first, choice.limit)
    _show_page(parsed, found, choice, wrong)


def _show_page(
    reference: Reference, found: SamplePage, choice: Choice, wrong: str | None = None
) -> None:
    version = Reference(found.dataset, found.version)
    title(f"Samples of {reference}", kind="Training data")
    with ui.element("p").classes("hub-note"):
        data_link(version)
        text("span", f" · {number(found.samples)} samples · {_described(found)}")
    _filters(reference, found, choice)
    if wrong is not None:
        problem(wrong)
    if choice.bands and found.composites:
        try:
            chosen_composite(str(version), found.bands, found.composites, choice.bands)
        except SpecificationError as error:
            problem(str(error))
            choice = replace(choice, bands=None)
    shown = len(found.rows)
    if not shown:
        sentence = "No sample matches these filters."
        if found.matching:
            sentence = f"There are {number(found.matching)} samples, and none after them."
        if choice.wanted.suspicious and found.suspects is None:
            sentence = f"The labels of {version} were not checked for noise; assess it first."
        with card("Nothing to show"):
            empty(sentence, f"mlops dataset assess {version}" if found.suspects is None else "")
            ui.link("Show all samples", f"{data_path(reference)}/samples")
        return
    last = found.first + shown
    with card(f"{number(found.first + 1)}–{number(last)} of {number(found.matching)}"):
        with ui.element("ul").classes("hub-chips"):
            for row in found.rows:
                _chip(reference, found, choice, row)
        _pages(reference, found, choice)
    if choice.labels and found.classes:
        _class_legend(found)


def _described(found: SamplePage) -> str:
    kinds = {
        "row": f"rows of {len(found.bands)} features, drawn as lines",
        "patch": "patches, shown with what surrounds them",
        "window": "windows with a label for each pixel",
        "image": "whole images",
    }
    return kinds[found.kind]


def _filters(reference: Reference, found: SamplePage, choice: Choice) -> None:
    wanted = choice.wanted
    form = ui.element("form").classes("hub-filters")
    form.props.update(
        {"method": "get", "action": f"{data_path(reference)}/samples", "aria-label": "Filters"}
    )
    with form:
        if found.classes and found.kind != "window":
            options = {"": "all"} | {
                one.name: f"{one.name} ({number(one.samples)})" for one in found.classes
            }
            _select("Class", "class", options, wanted.class_name or "")
        options = {"": "all"} | {
            one.name: f"{one.name.replace('_', ' ')} ({number(one.samples)})"
            for one in found.splits
        }
        _select("Split", "split", options, wanted.split or "")
        _input("Path or group", "text", wanted.text or "", "part of it")
        if found.composites:
            pictures = {one.query: one.title for one in found.composites}
            own = choice.bands if choice.bands not in pictures else None
            named = {one.name: one.query for one in found.composites}
            _select("Picture", "picture", pictures, named.get(own or "", choice.bands or ""))
            if len(found.bands) > 3:
                hint = ",".join(found.bands[:3])
                _input("Or bands", "bands", "" if own in named else own or "", hint)
        if found.kind in ("patch", "window") and found.classes:
            _check("Labels over chips", "labels", choice.labels)
        if found.suspects is not None:
            label = f"Suspicious labels only ({number(found.suspects_named)})"
            _check(label, "suspicious", wanted.suspicious)
        orders = {"mixed": "mixed", "file": "as in the files"}
        _select("Order", "order", orders, wanted.order)
        _select("A page", "limit", {str(n): str(n) for n in SIZES}, str(choice.limit))
        with ui.element("button").classes("hub-button").props("type=submit"):
            text("span", "Show")
    if not found.assessed:
        text(
            "p",
            "This version was not assessed: every chip has its own stretch, and suspicious labels"
            f" are unknown. Assess it with 'mlops dataset assess {found.dataset}@{found.version}'.",
            "hub-note",
        )
    if found.suspects is not None and found.suspects > found.suspects_named:
        text(
            "p",
            f"The quality report suspects {number(found.suspects)} labels and names the"
            f" {number(found.suspects_named)} worst.",
            "hub-note",
        )


def _select(label: str, name: str, options: Mapping[str, str], chosen: str) -> None:
    with ui.element("label").classes("hub-field"):
        text("span", label)
        with ui.element("select").classes("hub-input") as select:
            select.props["name"] = name
            for value, shown in options.items():
                option = text("option", shown)
                option.props["value"] = value
                if value == chosen:
                    option.props["selected"] = True


def _input(label: str, name: str, value: str, hint: str) -> None:
    with ui.element("label").classes("hub-field"):
        text("span", label)
        box = ui.element("input").classes("hub-input")
        box.props.update(
            {"name": name, "value": value, "placeholder": hint, "type": "text", "maxlength": 500}
        )


def _check(label: str, name: str, checked: bool) -> None:
    with ui.element("label").classes("hub-check"):
        box = ui.element("input")
        box.props.update({"type": "checkbox", "name": name, "value": "true", "checked": checked})
        text("span", label)


def _chip(reference: Reference, found: SamplePage, choice: Choice, row: SampleRow) -> None:
    address = f"{data_path(reference)}/samples?{choice.query(sample=row.index)}"
    label = "no label" if row.label is None else _label(row.label)
    with ui.element("li").classes("hub-chip"):
        with ui.element("a").classes("hub-chip-link") as link:
            link.props["href"] = address
            add_chip(found, row.index, choice.bands, choice.labels, f"{label}, {row.split}")
            if found.kind != "window":
                text("span", label, "hub-chip-label", title=label)
            place = row.path.rpartition("/")[2] + (f" · {row.place}" if row.place else "")
            text("span", place, "hub-chip-place", title=f"{row.path} {row.place}".strip())
        text(
            "span",
            row.split.replace("_", " "),
            f"hub-split hub-split-{row.split}",
            title=row.reason or "",
        )
        if row.suspicion is not None:
            likely = _label(row.suspicion.likely)
            text("span", f"suspect {row.suspicion.rank}: rather {likely}", "hub-suspect")


def add_chip(
    found: SamplePage, index: int, bands: str | None, labels: bool, description: str
) -> None:
    """Add the picture of a sample, loaded when it comes into view."""
    query = {"placeholder": "true", "size": CHIP_SIDE}
    if bands:
        query["bands"] = bands
    if labels:
        query["labels"] = "true"
    picture = ui.element("img").classes("hub-chip-picture")
    picture.props.update(
        {
            "src": (
                f"/api/v1/datasets/{found.dataset}/{found.version}/samples/{index}.png"
                f"?{urlencode(query)}"
            ),
            "alt": description,
            "loading": "lazy",
            "width": CHIP_SIDE,
            "height": CHIP_SIDE,
        }
    )


def _label(label: str | float | None) -> str:
    return label if isinstance(label, str) else number(label)


def _pages(reference: Reference, found: SamplePage, choice: Choice) -> None:
    before, after = found.first - choice.limit, found.first + choice.limit
    with ui.element("nav").classes("hub-pages") as navigation:
        navigation.props["aria-label"] = "Pages"
        for label, first, shown in (
            ("Previous", max(before, 0), found.first > 0),
            ("Next", after, after < found.matching),
        ):
            if shown:
                query = choice.query(first=first or None)
                ui.link(label, f"{data_path(reference)}/samples?{query}").classes("hub-button")


def _class_legend(found: SamplePage) -> None:
    with card("Classes over chips"), ui.element("ul").classes("hub-class-legend"):
        for one in found.classes:
            with ui.element("li"):
                ui.element("span").classes("hub-swatch").style(f"background: {one.colour}")
                text("span", one.name)


def _whole(value: str | None, default: int) -> int:
    return int(value) if value and value.isdecimal() and len(value) < 16 else default
