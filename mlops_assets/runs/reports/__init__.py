"""Reports of comparisons of runs: an HTML page, a picture, or Markdown for a merge request.

`comparison` reads the runs; these modules do not read the registry or the workspace.
"""

from __future__ import annotations

from pathlib import Path

from mlops_assets.errors import SpecificationError, StorageError
from mlops_assets.runs.comparison import Comparison

FORMATS = (".html", ".md", ".png")


def check_format(path: Path) -> None:
    """Require a file name whose suffix is a format of reports.

    Raises:
        SpecificationError: the format is unknown.
    """
    if path.suffix not in FORMATS:
        raise SpecificationError(
            f"{path} is not a report format; use a name that ends in one of {', '.join(FORMATS)}"
        )


def write_report(comparison: Comparison, path: Path) -> list[Path]:
    """Write a comparison in the format of the file's suffix.

    Markdown has its figures in PNG files beside it; the HTML page contains everything.

    Args:
        comparison: the runs.
        path: the file.

    Returns:
        The files that were written.

    Raises:
        SpecificationError: the format is unknown.
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
