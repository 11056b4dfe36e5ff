"""Conversion of facts to Dagster metadata for people."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from mlops_assets.text.markup import plain, table

if TYPE_CHECKING:
    import pandas as pd

    from mlops_assets.datasets.versions.columns import Column
    from mlops_assets.storage import FileStat, Workspace

# the schema of an event lists no more columns
MAX_COLUMNS = 500


def schema_metadata(
    columns: Sequence[Column], rows: int
) -> dict[str, dg.TableSchemaMetadataValue | int]:
    """Return the columns of training data and its number of samples, as Dagster has them."""
    listed = columns
    more: list[str] = []
    if len(columns) > MAX_COLUMNS:
        # the features come first, and there may be many; what is not a feature is always listed
        rest = [column for column in columns if column.role not in ("feature", "band")]
        listed = [*columns[: MAX_COLUMNS - len(rest)], *rest]
        more = [f"{len(columns) - len(listed)} more features are not listed"]
    schema = dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=column.type,
                description=column.description,
                constraints=dg.TableColumnConstraints(
                    unique=column.unique, other=list(column.rules)
                ),
                tags={"role": column.role, **({"unit": column.unit} if column.unit else {})},
            )
            for column in listed
        ],
        constraints=dg.TableConstraints(other=more),
    )
    # names that Dagster's UI displays as a table
    return {
        "dagster/column_schema": dg.MetadataValue.table_schema(schema),
        "dagster/row_count": rows,
    }


def file_metadata(
    workspace: Workspace, files: Sequence[FileStat]
) -> dict[str, dg.PathMetadataValue]:
    """Return one entry a file: its name, and its location."""
    return {
        file.path.rsplit("/", 1)[-1]: dg.MetadataValue.path(workspace.where(file.path))
        for file in files
    }


def figure_markdown(png: bytes, title: str) -> dg.MarkdownMetadataValue:
    """Return a figure as the UI displays it, inside the event itself."""
    return dg.MetadataValue.md(
        f"![{plain(title)}](data:image/png;base64,{base64.b64encode(png).decode()})"
    )


def figures_metadata(figures: Mapping[str, bytes]) -> dict[str, dg.MarkdownMetadataValue]:
    """Return one entry a figure, by its name."""
    return {
        f"{name}_figure": figure_markdown(png, name.replace("_", " "))
        for name, png in figures.items()
    }


def counts_markdown(counts: pd.DataFrame, of: str) -> str:
    """Return counts by class and split as a Markdown table.

    Args:
        counts: one row a class, one column a split.
        of: what is counted: `samples`, or `labelled pixels` of windows.
    """
    rows = zip(counts.index, counts.to_numpy(), strict=True)
    return table(
        [f"class ({of})", *map(plain, counts.columns)],
        ([plain(name), *map(str, row)] for name, row in rows),
    )


def logged_markdown(last: Mapping[str, Any], ranges: Mapping[str, tuple[int, float, float]]) -> str:
    """Return the metrics of a run as a Markdown table.

    Args:
        last: metric → the run's own value.
        ranges: metric → number of logged values, smallest and largest one.
    """
    rows = []
    for name, value in last.items():
        count, *ends = ranges.get(name, (0,))
        cells = [f"{end:.4g}" for end in ends] or ["", ""]
        rows.append([plain(name), f"{float(value):.4g}", *cells, str(count)])
    return table(["metric", "last", "smallest", "largest", "logged"], rows)


def sweep_markdown(trials: Sequence[Mapping[str, Any]]) -> str:
    """Return the trials of a sweep, as their documents give them, as a Markdown table."""
    names = list(trials[0]["parameters"]) if trials else []
    rows = []
    for trial in trials:
        value = "" if trial["value"] is None else f"{trial['value']:.6g}"
        parameters = [str(trial["parameters"][name]) for name in names]
        cells = [str(trial["trial"]), trial["state"], value, *parameters, trial["run_id"][:8]]
        rows.append([plain(cell) for cell in cells])
    return table(["trial", "state", "value", *map(plain, names), "run"], rows)
