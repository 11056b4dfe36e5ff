"""Parts that commands share: opening the store, printing sentences, tables and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import IO, TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from mlops_assets.choices import MAIN_METRICS
from mlops_assets.settings import Settings
from mlops_assets.text.printable import printable

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from mlops_assets.store import Store


class PlainConsole(Console):
    """A console that prints plain text: no markup, and no control characters."""

    def __init__(
        self,
        *,
        stderr: bool = False,
        file: IO[str] | None = None,
        width: int | None = None,
        soft_wrap: bool = False,
    ) -> None:
        """Print to stdout unless another stream is given; see rich's `Console`."""
        super().__init__(
            stderr=stderr,
            file=file,
            width=width,
            soft_wrap=soft_wrap,
            markup=False,
            emoji=False,
            highlight=False,
        )

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is printed; rich renders all texts here, also those in tables."""
        return super().render_str(printable(text), **options)


# no markup: texts come from users' data, and '[cm]' is a unit, not a style; sentences are not
# folded: a terminal wraps them itself, and a file or a pipe has no width
console = PlainConsole(soft_wrap=True)
errors = PlainConsole(stderr=True, soft_wrap=True)
WIDE = 10_000  # more columns than any table needs
_quiet = False

Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Module = Annotated[
    str | None,
    typer.Option("--module", "-m", help="Definitions of the project, e.g. my_project.definitions."),
]


def open_store() -> Store:
    """Open the workspace and registry that the environment names."""
    from mlops_assets.store import open_store

    return open_store(Settings.from_environment())


def draw(table: Table, fold: bool = False) -> None:
    """Print a table at its natural width; a narrow terminal wraps its lines, nothing is truncated.

    Args:
        table: the table.
        fold: on a terminal, fold long cells within their column.
    """
    width = None if fold and console.is_terminal else WIDE
    canvas = PlainConsole(width=width)
    with canvas.capture() as drawn:
        canvas.print(table)
    typer.echo("\n".join(line.rstrip() for line in drawn.get().splitlines()))


def advise(text: str) -> None:
    """Print advice on stderr, unless `--quiet` is given; results and errors are not advice."""
    if not _quiet:
        errors.print(text)


def set_quiet(quiet: bool) -> None:
    """Turn advice in this process off or on."""
    global _quiet
    _quiet = quiet


def show(
    rows: Sequence[Mapping[str, object]],
    as_json: bool,
    columns: Sequence[str],
    empty: str,
    titles: Sequence[str] | None = None,
) -> None:
    """Print rows as a JSON array, or the named columns as a table.

    Dotted names reach into dictionaries.

    Args:
        rows: the rows.
        as_json: print JSON.
        columns: names of the columns of the table.
        empty: message if there is no row.
        titles: of the columns; the last parts of their names if not given.
    """
    if as_json:
        typer.echo(json.dumps(rows, indent=2, default=_plain))
        return
    if not rows:
        console.print(empty)
        return
    from rich.table import Table

    table = Table(
        *(titles or [column.rsplit(".", 1)[-1] for column in columns]),
        box=None,
        padding=(0, 2, 0, 0),
    )
    for row in rows:
        table.add_row(*[_text(_reach(row, column)) for column in columns])
    draw(table)


def show_one(row: Mapping[str, object], as_json: bool) -> None:
    """Print one object as JSON, or as lines of name and value."""
    if as_json:
        typer.echo(json.dumps(row, indent=2, default=_plain))
        return
    from rich.table import Column, Table

    table = Table("", Column(overflow="fold"), show_header=False, box=None)
    for name, value in row.items():
        table.add_row(name, _text(value))
    draw(table, fold=True)


def metric_columns(metrics: Iterable[Mapping[str, float]]) -> list[str]:
    """Return the columns of the usual metrics that any row has."""
    present = {name for row in metrics for name in row}
    return [f"metrics.{name}" for name in MAIN_METRICS if name in present]


def _reach(row: Mapping[str, object], column: str) -> object:
    found: object = row
    for part in column.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return found


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, dict):
        return "\n".join(_entry(name, inner) for name, inner in value.items())
    if isinstance(value, list):
        if any(isinstance(inner, dict) for inner in value):
            return "\n".join("- " + _indented(_text(inner)) for inner in value)
        return ", ".join(map(_text, value))
    return str(value)


def _entry(name: str, value: object) -> str:
    """Return a name and its value; one of several lines is below the name."""
    text = _text(value)
    if isinstance(value, dict | list) and "\n" in text:
        return f"{name}:\n  {_indented(text)}"
    return f"{name}: {text}".rstrip()


def _indented(text: str) -> str:
    return text.replace("\n", "\n  ")


def _plain(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)
