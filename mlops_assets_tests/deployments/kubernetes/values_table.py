"""The table of the chart's values in docs/kubernetes.md, from the comments of values.yaml."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import reduce

import yaml

from mlops_assets_tests.deployments.kubernetes.chart import CHART

START, END = "<!-- values -->\n", "<!-- end of values -->"
_KEY = re.compile(r"( *)([A-Za-z]+):( .+)?")
_MARK = "-- "


@dataclass(frozen=True)
class Leaf:
    """A value with a comment, or one that lacks it.

    Attributes:
        path: with dots.
        description: empty if there is none.
    """

    path: str
    description: str


def leaves() -> list[Leaf]:
    """Return the values in the order of the file, without what is below one that is described."""
    found: list[Leaf] = []
    above: list[str] = []
    comment: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        text = line.strip()
        if text.startswith("#"):
            comment.append(text.removeprefix("#").strip())
            continue
        key = _KEY.fullmatch(line)
        if key is not None:
            above = [*above[: len(key[1]) // 2], key[2]]
            path = ".".join(above)
            within = found and path.startswith(f"{found[-1].path}.")
            described = bool(comment) and comment[0].startswith(_MARK)
            if not within and (described or key[3]):
                description = " ".join(comment).removeprefix(_MARK) if described else ""
                found.append(Leaf(path, description))
        comment = []
    return found


def table() -> str:
    """Return the rows of the table, in Markdown."""
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = ["| value | default | |", "|---|---|---|"]
    for leaf in leaves():
        default = reduce(lambda node, name: node[name], leaf.path.split("."), values)
        text = yaml.safe_dump(default, default_flow_style=True, width=1000, sort_keys=False)
        text = text.removesuffix("\n").removesuffix("\n...")
        rows.append(
            f"| `{leaf.path}` | {f'`{text}`' if default != '' else ''} | {leaf.description} |"
        )
    return "\n".join(rows)
