"""Monitored days of a model: curves, a table, and the rules of one day."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

from nicegui import ui

from mlops_assets.hub.pages.models.parts import measure_text, metric_text, problems, states
from mlops_assets.hub.pages.parts.cards import Content, card, empty, table
from mlops_assets.hub.pages.parts.navigation import address
from mlops_assets.hub.pages.parts.references import model_link
from mlops_assets.hub.pages.parts.texts import NONE, number, share, text
from mlops_assets.hub.views.addresses import model_path
from mlops_assets.hub.views.models.monitoring import MonitoredDay, MonitoredVersion, OpenAlarm

_COLUMNS = (
    "day",
    "version",
    "requests",
    "outside",
    "drift",
    "live (95 % interval)",
    "estimate",
    "test",
    "failed",
    "warned",
)
_AXIS = "#7a868c"  # readable on both themes
_COLOURS = ("#0a8fb5", "#c2571a", "#7a868c")


def show_days(
    model: str, days: Sequence[MonitoredDay], alarms: Sequence[OpenAlarm], chosen: str
) -> None:
    """Add the last monitored days, below the alarms that are open.

    Args:
        model: its name.
        days: oldest first.
        alarms: open ones.
        chosen: day whose rules are shown; the last one if it is none of them.
    """
    if alarms:
        with card("Open alarms", "Rules that have failed, until they pass again."):
            _alarms(model, alarms)
    if not days:
        with card("Monitoring"):
            empty(
                "No day was monitored. Serve the model so that requests are logged, then:",
                f"mlops monitor run {model}",
            )
        return
    problems([own.problem for own in days if own.problem is not None])
    busiest = [(own.day, own.versions[0]) for own in days if own.versions]
    metric = next((version.metric for _, version in reversed(busiest) if version.metric), None)
    with ui.element("div").classes("hub-grid").style("margin-bottom: 16px"):
        if metric is not None:
            with card(metric, "Live and estimated, of the version with most requests on each day."):
                _curve(
                    [day for day, _ in busiest],
                    {
                        "live": [v.live.value if v.live else None for _, v in busiest],
                        "estimate": [v.estimate.value if v.estimate else None for _, v in busiest],
                        "test split": [v.test for _, v in busiest],
                    },
                )
        with card("Inputs", "Share outside the area of applicability; largest drift of a feature."):
            _curve(
                [day for day, _ in busiest],
                {
                    "outside": [v.outside for _, v in busiest],
                    "drift (PSI)": [v.drift for _, v in busiest],
                },
            )
    with card("Days", "UTC, newest first. A day opens its rules below."):
        table(f"Monitored days of {model}", _COLUMNS, _rows(model, days), numeric=_COLUMNS[2:8])
    wanted = next((own for own in days if own.day == chosen), days[-1])
    _rules(model, wanted)


def _alarms(model: str, alarms: Sequence[OpenAlarm]) -> None:
    table(
        f"Open alarms of {model}",
        ("rule", "version", "failed since", "last failed", "why", "issue"),
        [
            [
                own.rule,
                partial(model_link, f"{model}@{own.version}", own.version),
                own.day,
                own.last_day,
                own.text,
                own.issue,
            ]
            for own in alarms
        ],
    )


def _curve(days: list[str], lines: dict[str, list[float | None]]) -> None:
    """Add curves over days; the table below them has the same numbers."""
    ui.echart(
        {
            "animation": False,
            "aria": {"enabled": True},
            "color": list(_COLOURS),
            "textStyle": {"color": _AXIS},
            "legend": {"textStyle": {"color": _AXIS}, "top": 0},
            "tooltip": {"trigger": "axis"},
            "grid": {"left": 48, "right": 16, "top": 32, "bottom": 28},
            "xAxis": {"type": "category", "data": days, "axisLabel": {"color": _AXIS}},
            "yAxis": {
                "type": "value",
                "scale": True,
                "axisLabel": {"color": _AXIS},
                "splitLine": {"lineStyle": {"color": _AXIS, "opacity": 0.3}},
            },
            "series": [
                {
                    "name": name,
                    "type": "line",
                    "data": values,
                    "showSymbol": True,
                    "lineStyle": {"type": "dashed" if name == "test split" else "solid"},
                }
                for name, values in lines.items()
            ],
        }
    ).style("height: 220px")


def _rows(model: str, days: Sequence[MonitoredDay]) -> list[list[Content]]:
    rows = []
    for own in reversed(days):
        if not own.versions:
            dashes: list[Content] = [NONE] * (len(_COLUMNS) - 3)
            rows.append([_day(model, own), "no request", "0", *dashes])
        rows += [_row(model, own, version) for version in own.versions]
    return rows


def _row(model: str, own: MonitoredDay, version: MonitoredVersion) -> list[Content]:
    verdicts = {
        verdict: ", ".join(rule.name for rule in version.rules if rule.verdict == verdict)
        for verdict in ("failed", "warned")
    }
    return [
        _day(model, own),
        lambda: model_link(f"{model}@{version.version}", version.version),
        f"{version.requests:,}",
        share(version.outside),
        number(version.drift, 3),
        measure_text(version.live),
        measure_text(version.estimate),
        metric_text(version.test),
        verdicts["failed"] or NONE,
        verdicts["warned"] or NONE,
    ]


def _day(model: str, own: MonitoredDay) -> Content:
    path = address(model_path(model), {"tab": "monitoring", "day": own.day})
    return lambda: ui.link(own.day, f"{path}#rules")


def _rules(model: str, own: MonitoredDay) -> None:
    ui.element("div").props["id"] = "rules"
    with card(f"Rules on {own.day}"):
        if not own.versions:
            text("p", "No request was logged on this day.")
        for version in own.versions:
            text("h3", f"{model}@{version.version}")
            if version.estimate is None and version.no_estimate is not None:
                text("p", f"No estimate: {version.no_estimate}", "hub-note")
            table(
                f"Rules of {version.version} on {own.day}",
                ("rule", "outcome", "value", "limit", "why"),
                [
                    [
                        rule.name,
                        states(rule.verdict),
                        number(rule.value),
                        number(rule.limit),
                        rule.text,
                    ]
                    for rule in version.rules
                ],
                numeric=("value", "limit"),
            )
        if own.dropped:
            text("p", f"The log has dropped {own.dropped:,} requests.", "hub-note")
        if own.report is not None:
            name, day = quote(model, safe=""), quote(own.day, safe="")
            ui.link("Report of the day", f"/api/v1/models/{name}/monitoring/{day}/report")
