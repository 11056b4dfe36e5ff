"""`mlops dataset preview`: the split of a landing by several seeds, before a commit."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlops_assets.cli.terminal import completion
from mlops_assets.cli.terminal.output import Json, Module, console, open_store, show, show_one
from mlops_assets.settings import Settings

if TYPE_CHECKING:
    from mlops_assets.datasets.splits.preview import Preview, SplitTable


def preview(
    name: Annotated[str, typer.Argument(help="Dataset.", autocompletion=completion.datasets)],
    seeds: Annotated[
        int, typer.Option(min=1, max=1000, help="Number of seeds to try, from 0.")
    ] = 5,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Show the split tables of a landing for several seeds, and the classes that each lacks.

    Nothing is published.

    The tables have the samples of each class in training, validation and test (for windows:
    labelled pixels), split as by a commit, for the declared seed, too. A method that uses no seed
    has one table.
    """
    from mlops_assets.datasets.splits.preview import preview
    from mlops_assets.orchestration.project import open_project

    with open_project(Settings.from_environment(), module) as project:
        specification = project.dataset(name)
    store = open_store()
    declared = specification.split.seed
    found = preview(
        store.workspace, store.registry, specification, sorted({*range(seeds), declared})
    )
    if as_json:
        show_one(_document(found, declared), as_json)
        return
    _print(found, declared)


def _print(found: Preview, declared: int) -> None:
    from mlops_assets.datasets.splits.assign import SEEDED

    rows = [row for table in found.tables for row in _rows(table)]
    show(rows, False, ["seed", "class", *found.tables[0].counts.columns], "")
    for table in found.tables:
        console.print(
            f"seed {table.seed}{' (declared)' if table.seed == declared else ''}: {_verdict(table)}"
        )
    if found.method in SEEDED:
        complete = ", ".join(str(table.seed) for table in found.tables if table.is_complete)
        advice = complete or "none; try more, land more data, or change fractions, group or block"
        console.print(f"{found.of} of every class are in every split with seed: {advice}")
    else:
        console.print(f"split method {found.method!r} uses no seed")
    for note in found.notes:
        console.print(f"  note: {note}")


def _rows(table: SplitTable) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for name, row in zip(table.counts.index, table.counts.to_numpy().tolist(), strict=True):
        counts = dict(zip(table.counts.columns, row, strict=True))
        rows.append({"seed": "" if rows else table.seed, "class": name, **counts})
    return rows


def _verdict(table: SplitTable) -> str:
    from mlops_assets.datasets.quality.findings.balance import absent_text

    lacking = [f"{name} is empty" for name in table.empty]
    parts = [*lacking, absent_text(table.absent)] if table.absent else lacking
    text = "; ".join(parts) or "every class is in every split"
    left = f"; {table.left_out} sample(s) left out" if table.left_out else ""
    return f"{text}{left}" + (f"; {table.refused}" if table.refused else "")


def _document(found: Preview, declared: int) -> dict[str, object]:
    return {
        "dataset": found.dataset,
        "method": found.method,
        "of": found.of,
        "seeds": [
            {
                "seed": table.seed,
                "declared": table.seed == declared,
                "counts": table.counts.to_dict(orient="index"),
                "left_out": table.left_out,
                "absent": table.absent,
                "empty": table.empty,
                "complete": table.is_complete,
                "refused": table.refused,
            }
            for table in found.tables
        ],
        "notes": found.notes,
    }
