"""The element of a table: an element for each cell would take 8 kB of the server's memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nicegui.element import Element

from mlops_assets import hub as package
from mlops_assets.hub.pages.parts.texts import NONE

MAX_SHORT = 24  # characters of a cell that stay on one line
# what a cell or a fact shows: text, or what a function adds
Content = str | Callable[[], object] | None


class Table(Element, component=Path(package.__file__).parent / "static" / "table.js"):
    """A table, whose text the browser puts into cells; only what functions add has elements."""

    def __init__(
        self,
        caption: str,
        columns: Sequence[str],
        rows: Sequence[Sequence[Content]],
        numeric: Sequence[str],
    ) -> None:
        """Add the table; see `cards.table` for the arguments."""
        super().__init__()
        # tuples, as NiceGUI observes each list
        self.props.update(
            caption=caption,
            columns=tuple(columns),
            kinds=tuple("hub-number" if name in numeric else "" for name in columns),
            short=MAX_SHORT,
            rows=tuple(tuple(_text(content) for content in row) for row in rows),
        )
        for index, row in enumerate(rows):
            for column, content in enumerate(row):
                if callable(content):
                    with self.add_slot(f"{index}-{column}"):
                        content()


def _text(content: Content) -> str | None:
    """Return the text of a cell; None if it has elements."""
    if callable(content):
        return None
    return NONE if content is None else content
