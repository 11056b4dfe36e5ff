"""A landing on a web server, which cannot be listed: its files are named in the declaration."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore

from mlops_assets.datasets.sources.base import LandedFile, Scene, below, checked, together
from mlops_assets.datasets.sources.object_store import download, modified_of, stamp_of
from mlops_assets.errors import EmptyLanding, StorageError
from mlops_assets.storage.stores import explained, open_object_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class WebLanding:
    """Files below a URL, or the one file that the URL names."""

    scenes: Sequence[Scene] = ()
    copies = True

    def __init__(self, url: str, names: Sequence[str]) -> None:
        self.url = url
        base, _, last = url.rpartition("/")
        self._base, self._names = (
            (url, list(names)) if names or not last else (base, [unquote(last)])
        )
        if not urlsplit(self._base).netloc:
            raise StorageError(f"{url}: name the files below it as 'files: [PATH, …]'")
        self._store: ObjectStore = open_object_store(self._base)

    def list(self) -> list[LandedFile]:
        """See `Landing.list`; one HEAD request a file."""
        files = together(self._head, self._names)
        if not files:
            raise EmptyLanding(f"{self.url}: no file is named; list them as 'files: [PATH, …]'")
        return checked(self.url, files, [])

    def _head(self, name: str) -> LandedFile:
        with explained(f"{self._base}/{name}", "read"):
            entry = obstore.head(self._store, name)
        return LandedFile(name, entry["size"], stamp_of(entry), modified=modified_of(entry))

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """See `Landing.fetch`."""
        return download(self._store, file.path, file, below(folder, file.path), self._base)

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """See `Landing.changed`."""
        return [file.path for file in files if not self._same(file)]

    def _same(self, file: LandedFile) -> bool:
        try:
            return self._head(file.path) == file
        except StorageError:
            return False

    def settled(self, file: LandedFile, listed: float) -> bool:
        """See `Landing.settled`; servers change the ETag with the content."""
        return True
