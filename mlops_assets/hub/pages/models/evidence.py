"""Overview and metrics of a model version: what it is, how good it is, and what was decided."""

from __future__ import annotations

from functools import partial

from nicegui import ui

from mlops_assets.hub.pages.models.maps import file_path
from mlops_assets.hub.pages.models.parts import measure_text, metric_text, states
from mlops_assets.hub.pages.parts.cards import Content, card, empty, facts, table
from mlops_assets.hub.pages.parts.references import data_link, run_link
from mlops_assets.hub.pages.parts.texts import NONE, checksum, number, text, when
from mlops_assets.hub.views.models.version.view import (
    ClassRow,
    ShownDecision,
    ShownGate,
    VersionView,
)

_SHOWN_NAMES = 12  # of features or classes
_MAX_MATRIX = 40  # classes


def show_overview(view: VersionView) -> None:
    """Add what a version is, its metrics, gates and decisions."""
    with ui.element("div").classes("hub-two"):
        with ui.element("div"):
            with card("Quality", _measured_on(view)):
                _quality(view)
            with card("Gates", "As they were when the version was recorded."):
                _gates(view)
            with card("Approval"):
                _approval(view)
        with ui.element("div"), card("Version"):
            _about(view)
    with card("Decisions"):
        _decisions(view)


def _quality(view: VersionView) -> None:
    """Add the metrics, the main one first."""
    if not view.metrics:
        empty("Not evaluated yet. Complete its stages:", _complete(view))
        return
    ordered = sorted(view.metrics, key=lambda own: own.name != view.metric)
    facts({own.name: measure_text(own) for own in ordered})


def _measured_on(view: VersionView) -> str:
    if view.samples is None:
        return "Of the test split."
    ends = ""
    if view.confidence is not None:
        ends = f" {view.confidence:.0%} intervals by bootstrap of {view.resampled}."
    return f"Of {view.samples:,} test samples.{ends}"


def _complete(view: VersionView) -> str:
    return f"mlops train {view.model}@{view.data.partition('@')[2]}"


def _gates(view: VersionView) -> None:
    if view.verdict is None:
        text("p", "No gate was checked.", "hub-note")
        return
    states(view.verdict)()
    if not view.gates:
        text("p", "No gate is declared.", "hub-note")
        return
    table(
        "Gates",
        ("gate", "outcome", "value", "limit", "why"),
        [_gate(own) for own in view.gates],
        numeric=("value", "limit"),
    )
    if view.blocked is not None:
        text("p", f"production is refused as things stand: {view.blocked}", "hub-note")


def _gate(own: ShownGate) -> list[Content]:
    why = [own.reason] if own.reason else []
    if own.difference is not None:
        ends = "" if own.low is None or own.high is None else _bounds(own.low, own.high)
        why.append(f"better by {metric_text(own.difference)}{ends}")
    if own.needed is not None:
        why.append(f"about {own.needed:,} more test units would decide it")
    return [
        own.gate,
        states(own.verdict),
        metric_text(own.value),
        metric_text(own.limit),
        "; ".join(why) or NONE,
    ]


def _bounds(low: float, high: float) -> str:
    return f" (95 % bounds {metric_text(low)} to {metric_text(high)})"


def _approval(view: VersionView) -> None:
    own = view.approval
    if own.state == "not required":
        text("p", "No approval is required.", "hub-note")
    else:
        states(own.state)()
        text("p", own.description)
    if own.protected:
        text("p", f"Protected aliases: {', '.join(own.protected)}.", "hub-note")
    if own.newest is not None:
        facts(
            {
                "by": own.newest.decided_by,
                "when": when(own.newest.decided),
                "why": own.newest.reason,
                "files": lambda: _checksums(own.newest),
            }
        )


def _checksums(made: ShownDecision | None) -> None:
    for name, sha256 in ({} if made is None else made.sha256).items():
        with ui.element("div").classes("hub-row"):
            text("span", name)
            checksum(sha256)


def _about(view: VersionView) -> None:
    run, signature = view.run, view.signature
    found: dict[str, Content] = {
        "trained": when(view.created),
        "on": lambda: data_link(view.data),
        "run": "you may not see it" if run is None else lambda: run_link(run.run_id),
        "by": None if run is None else run.created_by,
        "task": view.task,
        "framework": view.framework,
        "stage": view.stage,
    }
    if signature is not None:
        shape = " × ".join(map(str, signature.shape))
        found |= {
            "architecture": signature.architecture,
            "parameters": number(signature.parameters),
            "input": f"{signature.view}, {shape}",
            "features": _named(signature.features),
            "classes": _named(signature.classes),
        }
    found |= {
        "applicability": view.applicability,
        "ONNX": view.parity,
        "latency": view.latency,
    }
    if run is not None:
        found |= {
            "code": f"{run.trainer}, version {run.code_version}",
            "seed": str(run.seed),
            "environment": lambda: checksum(run.environment),
        }
    if view.services:
        found["served by"] = ", ".join(view.services)
    facts(found)


def _named(names: list[str]) -> str | None:
    if not names:
        return None
    shown = ", ".join(names[:_SHOWN_NAMES])
    more = len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown


def _decisions(view: VersionView) -> None:
    if not view.decisions and not view.approval.required:
        text("p", "No decision was made on this version, and none is required.", "hub-note")
        return
    if not view.decisions:
        empty(
            "Nobody has decided on this version yet. An approver presses Approve, or:",
            f"mlops model approve {view.model}@{view.version} --reason TEXT",
        )
        return
    table(
        "Decisions",
        ("when", "decision", "by", "reason", "files"),
        [
            [
                when(made.decided),
                states(made.decision),
                made.decided_by,
                made.reason,
                partial(_checksums, made),
            ]
            for made in reversed(view.decisions)
        ],
    )


def show_metrics(view: VersionView) -> None:
    """Add metrics of each class, the confusion matrix and other figures."""
    with card("Metrics", _measured_on(view)):
        if not view.metrics:
            empty("Not evaluated yet. Complete its stages:", _complete(view))
        else:
            table(
                "Metrics",
                ("metric", "value (interval)"),
                [[own.name, measure_text(own)] for own in view.metrics],
                numeric=("value (interval)",),
            )
    if view.per_class:
        with card("Classes"):
            table(
                "Metrics of each class",
                ("class", "test samples", "precision", "recall", "F1", "IoU"),
                [_class(own) for own in view.per_class],
                numeric=("test samples", "precision", "recall", "F1", "IoU"),
            )
    if view.figures:
        with card("Figures"), ui.element("div").classes("hub-figures"):
            for name in view.figures:
                _figure(view, name)
    if view.confusion is not None and len(view.confusion) <= _MAX_MATRIX:
        with card("Confusion matrix", "Test samples: true classes in rows, predicted in columns."):
            _matrix(view, view.confusion)


def _class(own: ClassRow) -> list[Content]:
    if own.samples == 0:
        return [own.name, "0", *["no test sample", NONE, NONE, NONE]]
    measured = (own.precision, own.recall, own.f1, own.iou)
    return [own.name, number(own.samples), *(metric_text(value) for value in measured)]


def _figure(view: VersionView, name: str) -> None:
    label = name.replace("_", " ")
    with ui.element("figure"):
        image = ui.element("img")
        image.props.update(
            {
                "src": file_path(view.model, view.version, f"figures/{name}.png"),
                "alt": f"{label} of {view.model}@{view.version}",
                "loading": "lazy",
            }
        )
        text("figcaption", label)


def _matrix(view: VersionView, counts: list[list[int]]) -> None:
    names = [own.name for own in view.per_class] or [str(i) for i in range(len(counts))]
    table(
        "Confusion matrix",
        ["true class", *names],
        [
            [name, *(number(count) if count else "·" for count in row)]
            for name, row in zip(names, counts, strict=True)
        ],
        numeric=names,
    )
