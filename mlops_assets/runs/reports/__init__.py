"""Comparisons of runs for people: one HTML page, one picture, or Markdown for a merge request.

What is compared is gathered in `comparison`; nothing here reads the registry or the workspace.
"""

from __future__ import annotations

from pathlib import Path

from mlops_assets.errors import SpecificationError, StorageError
from mlops_assets.runs.comparison import Comparison

FORMATS = (".html", ".md", ".png")


def check_format(path: Path) -> None:
    """Make sure that a report can be written as a file of this name.

    Raises:
        SpecificationError: the format is not known.
    """
    if path.suffix not in FORMATS:
        raise SpecificationError(
            f"{path}: a report is one of {', '.join(FORMATS)}; let the file's name end so"
        )


def write_report(comparison: Comparison, path: Path) -> list[Path]:
    """Write a comparison in the format that the file's name ends with.

    Return the files that were written.

    Markdown has its figures in PNG files beside it; the HTML page holds everything itself.

    Raises:
        SpecificationError: the format is not known.
        StorageError: the file cannot be written.
    """
    contents = _contents(comparison, path)
    try:
        for file, content in contents.items():
            file.write_bytes(content)
    except OSError as error:
        raise StorageError(
            f"{error.filename or path} cannot be written: {error.strerror}; name another file"
        ) from error
    return list(contents)


def _contents(comparison: Comparison, path: Path) -> dict[Path, bytes]:
    from mlops_assets.runs.reports import figures, html, markdown

    check_format(path)
    if path.suffix == ".png":
        return {path: figures.overview(comparison)}
    drawn = figures.drawn(comparison)
    if path.suffix == ".html":
        return {path: html.html(comparison, drawn).encode()}
    beside = {name: f"{path.stem}-{name}.png" for name in drawn}
    text = markdown.markdown(comparison, beside)
    return {path: text.encode()} | {
        path.with_name(beside[name]): png for name, png in drawn.items()
    }
