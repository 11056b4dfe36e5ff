"""A comparison as Markdown that fits a merge request: tables, and links to figures beside it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from mlops_assets.runs.comparison import Comparison, Difference, MetricRow
from mlops_assets.runs.reports.formatting import NOT_MEASURED, delta, number, quantity
from mlops_assets.text.markup import code

LINES = 30  # of one table; a merge request is read, not searched
TITLES = {"curves": "Learning curves", "confusion": "Confusion matrices on the test split"}


def markdown(comparison: Comparison, figures: Mapping[str, str]) -> str:
    """Return the comparison.

    Args:
        comparison: what to write.
        figures: name → where the figure lies, relative to the text.
    """
    first, *others = comparison.runs
    than = ", ".join(code(compared.short) for compared in others)
    lines = [f"## {than} compared with {code(first.short)}", ""]
    facts = [
        ("model version", [code(compared.product) for compared in comparison.runs]),
        ("data", [code(f"{c.run.dataset}@{c.run.data_version}") for c in comparison.runs]),
        ("code", [code(c.run.code_version) for c in comparison.runs]),
        ("took", [quantity("seconds", c.run.seconds) for c in comparison.runs]),
    ]
    header = ["", *(code(compared.short) for compared in comparison.runs)]
    lines += [*_table(header, ([name, *cells] for name, cells in facts)), ""]
    if comparison.metrics:
        lines += [
            "### Metrics",
            "",
            *_table(header, [_metric(row) for row in comparison.metrics]),
            "",
        ]
        if comparison.unmeasured:
            cells = zip(header[1:], comparison.unmeasured, strict=True)
            lines += [
                (
                    f"{NOT_MEASURED.capitalize()}:"
                    f" {'; '.join(f'{run} {code(names)}' for run, names in cells)}."
                ),
                "",
            ]
        lines += [
            "▲ more, ▼ less than the first run; the best is bold where it is known what is better.",
            "",
        ]
    differing = [
        difference for difference in comparison.differences if difference.section != "took"
    ]
    lines += ["### What differs", ""]
    if differing:
        lines += [*_table(["", *header], [_difference(each) for each in differing]), ""]
    else:
        lines += ["Nothing: neither data nor code, parameters, environment or hardware.", ""]
    for name, where in figures.items():
        lines += [f"### {TITLES[name]}", "", f"![{TITLES[name]}]({_link(where)})", ""]
    return "\n".join(lines)


def _metric(row: MetricRow) -> list[str]:
    cells = [code(row.name)]
    for index, (value, change) in enumerate(zip(row.values, row.deltas, strict=True)):
        written = "–" if value is None else number(value)
        written = f"**{written}**" if row.best == index else written
        cells.append(f"{written} {delta(change)}" if index and change is not None else written)
    return cells


def _difference(difference: Difference) -> list[str]:
    values = [
        "–" if value is None else code(quantity(difference.what, value))
        for value in difference.values
    ]
    return [difference.section, code(difference.what), *values]


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    found = list(rows)
    lines = [f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    lines += [f"| {' | '.join(row)} |" for row in found[:LINES]]
    if len(found) > LINES:
        lines += ["", f"… and {len(found) - LINES} more"]
    return lines


def _link(where: str) -> str:
    from urllib.parse import quote

    return quote(where)
