"""The report of a monitored day as one self-contained HTML page, with its style and no scripts.

The template is `page.html.j2`; all numbers are those of the document.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from mlops_assets.monitoring.document import Interval, MonitoringDocument, VersionDay
from mlops_assets.monitoring.rules import headline_of
from mlops_assets.text.templates import template

# figures in the order of the page → their captions
CAPTIONS = {
    "metric": "The metric over the last 30 days: live, estimated without labels, on the test split",
    "applicability": "Dissimilarity of the samples to training samples, and the threshold",
    "drift": "Features that have drifted most, and the limits that are applied",
    "predictions": "Predictions of the day, beside those of training samples",
}


@dataclass(frozen=True)
class _Shown:
    """A version on the page.

    Attributes:
        version: as measured.
        metric: its headline.
        live: that metric of samples with labels; None if it is unknown.
        test: that metric of the test split; None if it is unknown.
        figures: caption and data URL of each.
    """

    version: VersionDay
    metric: str
    live: Interval | None
    test: float | None
    figures: list[tuple[str, str]]


def page(
    document: MonitoringDocument,
    figures: Mapping[str, Mapping[str, bytes]],
    tests: Mapping[str, Mapping[str, float]],
) -> str:
    """Return the page. Names of classes, features and slices are text on it, never HTML.

    Args:
        document: of the day.
        figures: version → name of a figure → PNG.
        tests: version → its metrics on the test split.
    """
    versions = [
        _shown(own, figures.get(own.version, {}), tests.get(own.version, {}))
        for own in document.versions
    ]
    return template("mlops_assets.monitoring.report", "page.html.j2").render(
        document=document, versions=versions, summary=summary(document)
    )


def summary(document: MonitoringDocument) -> str:
    """Return a sentence on a day."""
    dropped = "" if not document.dropped else f" The log has dropped {document.dropped:,} requests."
    if not document.versions:
        return f"No request was logged on this day, and no map is of it.{dropped}"
    requests = sum(version.requests for version in document.versions)
    found = document.outcomes()
    by_verdict = {
        verdict: [rule.name for rule in found.values() if rule.verdict == verdict]
        for verdict in ("failed", "warned", "unknown")
    }
    words = {"failed": "failed", "warned": "warned", "unknown": "could not be decided"}
    listed = [f"{', '.join(names)} {words[kind]}" for kind, names in by_verdict.items() if names]
    outcome = "; ".join(listed) if listed else "all rules passed"
    versions = "1 version" if len(document.versions) == 1 else f"{len(document.versions)} versions"
    return f"{requests:,} requests to {versions}: {outcome}.{dropped}"


def figure_name(version: str, name: str) -> str:
    """Return the file of a figure of a version, below the folder of its day."""
    return f"figures/{version}-{name}.png"


def _shown(version: VersionDay, figures: Mapping[str, bytes], test: Mapping[str, float]) -> _Shown:
    metric = headline_of(test) or ""
    return _Shown(
        version=version,
        metric=metric,
        live=None if version.live is None else version.live.metrics.get(metric),
        test=test.get(metric),
        figures=[
            (caption, f"data:image/png;base64,{base64.b64encode(figures[name]).decode()}")
            for name, caption in CAPTIONS.items()
            if name in figures
        ],
    )
