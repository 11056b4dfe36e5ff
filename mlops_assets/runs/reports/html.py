"""A comparison as one self-contained HTML page.

It contains its style and figures, and no scripts; the template is `comparison.html.j2`.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping

from mlops_assets.runs.comparison import SECTIONS, Comparison
from mlops_assets.runs.reports.formatting import (
    MEASURED_ON,
    NOT_MEASURED,
    delta,
    interval,
    number,
    plain,
    quantity,
)
from mlops_assets.runs.reports.markdown import TITLES
from mlops_assets.text.templates import template


def html(comparison: Comparison, figures: Mapping[str, bytes]) -> str:
    """Return the page. Whatever a run has recorded is text in it, never HTML.

    Args:
        comparison: the runs that are compared.
        figures: name → PNG.
    """
    ordered = sorted(
        comparison.differences, key=lambda difference: SECTIONS.index(difference.section)
    )
    return template("mlops_assets.runs.reports", "comparison.html.j2").render(
        runs=comparison.runs,
        metrics=comparison.metrics,
        differences=ordered,
        same=comparison.same_parameters,
        titles=TITLES,
        number=number,
        delta=delta,
        plain=plain,
        quantity=quantity,
        judged=_judged,
        notices=comparison.notices,
        interval=interval,
        measured_on=MEASURED_ON,
        unmeasured=comparison.unmeasured,
        not_measured=NOT_MEASURED,
        figures={
            name: f"data:image/png;base64,{base64.b64encode(png).decode()}"
            for name, png in figures.items()
        },
    )


def _judged(row: object, change: float) -> str:
    """Return the CSS class of a change: better, worse, or nothing if the direction is unknown."""
    smaller = getattr(row, "smaller_is_better", None)
    if smaller is None or change == 0:
        return ""
    return "better" if (change < 0) == smaller else "worse"
