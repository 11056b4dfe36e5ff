"""Temporary folders.

Those of processes that were killed are removed by the next one that makes any.

A folder is held by a lock on itself, which the system frees when its process ends, however that
happens.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mlops_assets.errors import StorageError

_SUFFIX = ".scratch"  # so that no other folder is taken for one of these


@contextmanager
def scratch_folder(what: str, cache: Path | None = None) -> Iterator[Path]:
    """Make a temporary folder, which is removed at the end.

    Args:
        what: it is for; part of its name.
        cache: where; with the system's temporary files by default.

    Raises:
        StorageError: it cannot be made.
    """
    parent = cache or Path(tempfile.gettempdir())
    try:
        parent.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(parent)
        folder, held = _make(parent, what)
    except OSError as error:
        raise StorageError(
            f"no temporary folder could be made in {parent}: {error.strerror}; free space there, or"
            f" set {'MLOPS_CACHE' if cache else 'TMPDIR'} to a folder that can be written"
        ) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(held)


def write_scratch(path: Path, content: Iterable[bytes]) -> None:
    """Write a file of a temporary folder in the cache.

    Args:
        path: of the file.
        content: its bytes, in chunks.

    Raises:
        StorageError: it cannot be written, as the disk is full.
        FileNotFoundError: the folder was deleted, as a cache may be at any time.
    """
    try:
        with path.open("wb") as stream:
            stream.writelines(content)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StorageError(
            f"{path} could not be written: {error.strerror}; free space there, or set MLOPS_CACHE"
            " to another folder"
        ) from error


def _make(parent: Path, what: str) -> tuple[Path, int]:
    """Make a folder and hold it; another process may have removed it before it was held."""
    while True:
        folder = Path(tempfile.mkdtemp(_SUFFIX, f"mlops-{what}-", parent))
        with suppress(FileNotFoundError):
            held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
            # a file system without locks: holders are unknown, and nothing is removed there
            with suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_EX)
            if folder.exists():
                return folder, held
            os.close(held)


def _remove_abandoned(parent: Path) -> None:
    for folder in parent.glob(f"mlops-*{_SUFFIX}"):
        with suppress(OSError):  # it is gone, or of another user
            found = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(found).st_uid == os.geteuid():
                    fcntl.flock(found, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(found)
