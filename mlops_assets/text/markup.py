"""Text of others in Markdown, rendered literally.

Titles, descriptions, names of classes and features, and parameters come from files, clients and
people.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from mlops_assets.text.printable import printable

# characters with a meaning within a line, and at its beginning; `_` within a word has none
_WITHIN = re.compile(r"[\\`*\[\]<>|~$&]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])")
_NUMBERED = re.compile(r"^(\s*\d+)(?=[.)]\s)")


def plain(text: object) -> str:
    """Return text on one line that Markdown renders literally.

    It has no HTML, no link, no end of a table cell.
    """
    line = _WITHIN.sub(r"\\\g<0>", _line(text))
    line = _NUMBERED.sub(r"\1\\", line)
    return re.sub(r"^(?=[#+=-])", r"\\", line)


def paragraphs(text: str) -> str:
    """Return text as `plain` does, with its paragraphs."""
    return "\n\n".join(plain(part) for part in re.split(r"\n\s*\n", text.strip()))


def code(text: object) -> str:
    """Return text as inline code.

    It has no HTML, no link, no mention of a user, no end of a table cell.
    """
    line = _line(text) or " "
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", line)), default=0))
    padding = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{padding}{line}{padding}{fence}".replace("|", "\\|")


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table.

    Args:
        header: name of each column, in Markdown.
        rows: cells of each row, in Markdown: text of others goes through `plain` or `code` first.
    """
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines)


def _line(text: object) -> str:
    return printable(" ".join(str(text).split()))
