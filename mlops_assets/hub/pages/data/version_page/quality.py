"""Checks, class balance and figures of a data version."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from urllib.parse import quote

from nicegui import ui

from mlops_assets.hub.pages.caller import hub, read
from mlops_assets.hub.pages.data.parts import SPLITS
from mlops_assets.hub.pages.parts.cards import Content, card, empty, facts, table
from mlops_assets.hub.pages.parts.texts import NONE, number, share, state, text
from mlops_assets.hub.views.data.checks import CheckOutcome
from mlops_assets.hub.views.data.quality import QualityView, quality
from mlops_assets.hub.views.data.version import ClassSplits, DataVersionView
from mlops_assets.names import Reference
from mlops_assets.store import Store

FIGURES = {
    "class_counts": "Classes by split",
    "band_histograms": "Values in training",
    "split_distances": "Test samples by nearness to training",
    "sample_map": "Samples by split",
}
_ORDER = {"failed": 0, "cannot tell": 1, "passed": 2}


def show_checks(found: QualityView | None, reference: str) -> None:
    """Add the outcomes of the checks of a data version, those that failed first."""
    if found is None:
        empty("It was not assessed.", f"mlops dataset assess {reference}")
        return
    ordered = sorted(found.checks, key=lambda check: (_ORDER[check.outcome], not check.blocking))
    with ui.element("ul").classes("hub-checks"):
        for check in ordered:
            _check(check)


async def show_quality(reference: Reference, version: DataVersionView) -> None:
    """Add the quality report of a data version."""
    if version.quality.state == "not assessed":
        with card("Quality report"):
            show_checks(None, str(reference))
        return
    found = await read(_quality, reference)
    api = (
        f"/api/v1/datasets/{quote(reference.name, safe='')}/{quote(reference.what or '', safe='')}"
    )
    with card("Checks", "Judged by the thresholds that are declared now."):
        show_checks(found, str(reference))
        ui.link("Full report as JSON", f"{api}/quality/report", new_tab=True)
    with card("Measured"):
        read_samples = ", ".join(f"{number(n)} {name}" for name, n in found.read.items())
        left_out = ", ".join(f"{number(n)} {reason}" for reason, n in found.left_out.items())
        facts(
            {
                "Samples read": read_samples or None,
                "Left out": left_out or None,
                "Labels that contradict others": (
                    "cannot be estimated" if found.suspects is None else number(found.suspects)
                ),
                **{
                    f"Threshold {name}": NONE if value is None else str(value)
                    for name, value in found.thresholds.items()
                },
            }
        )
    if found.figures:
        with card("Figures"), ui.element("div").classes("hub-figures"):
            for name in found.figures:
                _figure(f"{api}/figures/{quote(name, safe='')}", FIGURES.get(name, name))


def show_class_balance(found: DataVersionView) -> None:
    """Add the classes of a data version: counts, and a bar for the share within each split."""
    if not found.classes:
        return
    splits = [*SPLITS, "left_out"]
    totals = {split: sum(getattr(each, split) or 0 for each in found.classes) for split in splits}
    largest = max(
        (
            (getattr(each, split) or 0) / totals[split]
            for each in found.classes
            for split in SPLITS
            if totals[split]
        ),
        default=0.0,
    )

    def row(each: ClassSplits) -> Sequence[Content]:
        return (
            each.name,
            each.value,
            *(_bar(getattr(each, split), totals[split], largest) for split in splits),
        )

    note = (
        f"Numbers are {found.counted}; bars are shares within a split, so that splits of the same"
        " balance have the same bars."
    )
    with card("Class balance", note):
        columns = ["Class", "Value", *SPLITS, "left out"]
        rows = [*map(row, found.classes)]
        rows.append(("all", "", *(number(totals[split]) for split in splits)))
        table("Classes by split", columns, rows, [*SPLITS, "left out"])


def _bar(count: int | None, total: int, largest: float) -> Callable[[], None]:
    def add() -> None:
        part = 0.0 if not count or not total else count / total
        with ui.element("div").classes("hub-bar") as bar:
            bar.props["title"] = share(part) if count is not None else "unknown"
            text("span", number(count)).style("background: none; height: auto")
            if largest:
                ui.element("span").style(f"width: {100 * part / largest:.1f}%")

    return add


def _check(check: CheckOutcome) -> None:
    with ui.element("li"):
        with ui.element("div"):
            blocks = check.outcome == "failed" and check.blocking
            name = "warning" if check.outcome == "failed" and not blocks else check.outcome
            state(name, "blocks training" if blocks else "")
        with ui.element("div"):
            text("p", check.finding)
            text("p", f"{check.name}: {check.subject}", "hub-note")


def _figure(address: str, caption: str) -> None:
    with ui.element("figure"):
        ui.element("img").props.update({"src": address, "alt": caption, "loading": "lazy"})
        text("figcaption", caption)


def _quality(store: Store, reference: Reference) -> QualityView:
    return quality(store, hub().datasets, reference)
