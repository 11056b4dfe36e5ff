"""Cards, lists of facts, tables and empty states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from nicegui import ui

from mlops_assets.hub.pages.parts.snippets import copy_button
from mlops_assets.hub.pages.parts.tables import Content as Content
from mlops_assets.hub.pages.parts.tables import Table
from mlops_assets.hub.pages.parts.texts import NONE, text


def title(content: str, kind: str = "") -> None:
    """Add the heading of a page, of which a page has one.

    Args:
        content: of the heading.
        kind: what it names, such as `data version`, above it.
    """
    with ui.element("div").classes("hub-title"):
        if kind:
            text("p", kind, "hub-kind")
        text("h1", content)


@contextmanager
def card(title: str, note: str = "") -> Iterator[ui.element]:
    """Build a section with a heading around what is added within.

    Args:
        title: of the section.
        note: a line below the heading.

    Yields:
        The element that has the content, to be cleared and filled again.
    """
    # its heading leads there; as landmarks, all cards of a page would be too many
    with ui.element("section").classes("hub-card"):
        text("h2", title)
        if note:
            text("p", note, "hub-note")
        with ui.element("div").classes("hub-card-body") as body:
            yield body


def facts(found: Mapping[str, Content]) -> None:
    """Add a list of names and values; a dash stands for None."""
    with ui.element("dl").classes("hub-facts"):
        for name, value in found.items():
            text("dt", name)
            if callable(value):
                with ui.element("dd"):
                    value()
            else:
                text("dd", NONE if value is None else value)


def table(
    caption: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Content]],
    numeric: Sequence[str] = (),
) -> None:
    """Add a table for up to a few hundred rows, which scrolls inside its card if it is wide.

    Args:
        caption: what it lists, for those who do not see it.
        columns: heading of each column.
        rows: content of each cell; that of the first column heads its row.
        numeric: headings of columns with numbers.
    """
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"a row of {caption} has {len(row)} cells for {len(columns)} columns")
    Table(caption, columns, rows, numeric)


def empty(sentence: str, command: str = "") -> None:
    """Add what stands where there is nothing yet: the next step, and its command."""
    with ui.element("div").classes("hub-empty"):
        text("p", sentence)
        if command:
            with ui.element("div").classes("hub-command"):
                text("code", command)
                copy_button(command)
