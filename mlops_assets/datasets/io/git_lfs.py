"""Git LFS pointers: small text files that stand for data which was not fetched with the repository.

https://github.com/git-lfs/git-lfs/blob/main/docs/spec.md
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

START = b"version https://git-lfs.github.com/spec/"
# of a pointer; the specification has it smaller than 1024
MIN_BYTES = 100
MAX_BYTES = 1024
NAMED = 5
POINTER = (
    "is a Git LFS pointer, not the data itself; run 'git lfs pull' in the repository that it comes"
    " from"
)


def is_pointer(content: bytes) -> bool:
    """Return whether a file with this content, or this start of it, is a Git LFS pointer."""
    return content.startswith(START)


def is_pointer_file(local: Path) -> bool:
    """Return whether a local file is a Git LFS pointer."""
    with local.open("rb") as stream:
        return is_pointer(stream.read(len(START)))


def pointer_problem(paths: Sequence[str]) -> str:
    """Return one problem, with its remedy, for all files that are Git LFS pointers.

    Args:
        paths: landed paths of the pointers, at least one.
    """
    if len(paths) == 1:
        return f"{paths[0]}: {POINTER}, and land it again"
    more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
    return (
        f"{', '.join(paths[:NAMED])}{more}: {len(paths)} files are Git LFS pointers, not the data"
        " itself; run 'git lfs pull' in the repository that they come from, and land them again"
    )
