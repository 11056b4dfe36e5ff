"""Workspaces of others, whose files are read here without a copy."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.errors import StorageError
from mlops_assets.storage.stores import local_folder
from mlops_assets.storage.workspace import Workspace


def open_other_workspace(url: str, cache: Path) -> Workspace:
    """Return another workspace, to be read only.

    Args:
        url: of its folder or bucket.
        cache: folder for copies of remote files, under their checksums.

    Raises:
        StorageError: its folder is not there, or it cannot be opened.
    """
    if urlsplit(url).scheme == "file" and not local_folder(url).is_dir():
        # opening it would make it
        raise StorageError(
            f"the other workspace {url} is not there; ask where it is now, and use its version"
            " from there"
        ) from FileNotFoundError(url)
    return _opened(url, cache)


@lru_cache(maxsize=8)
def _opened(url: str, cache: Path) -> Workspace:
    return Workspace(url, cache)
