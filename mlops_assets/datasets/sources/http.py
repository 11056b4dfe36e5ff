"""Landings on web servers, which cannot be listed: the declaration names their files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import obstore

from mlops_assets.datasets.sources.base import LandedFile, Scene, below, together
from mlops_assets.datasets.sources.listing import Listing, checked
from mlops_assets.datasets.sources.object_store import download, modified_of, stamp_of
from mlops_assets.errors import EmptyLanding, StorageError
from mlops_assets.storage.stores import explained, open_object_store

if TYPE_CHECKING:
    from obstore.store import ObjectStore


class WebLanding:
    """Files below a URL, or the one file that the URL names.

    Attributes:
        url: of the folder or the file, http or https.
    """

    scenes: Sequence[Scene] = ()
    copies = True

    def __init__(self, url: str, names: Sequence[str]) -> None:
        """Take a URL and the paths of the files below it.

        Args:
            url: of a folder, or of one file if no names are given.
            names: POSIX paths below the URL.

        Raises:
            StorageError: the URL names neither, or the server cannot be opened.
        """
        self.url = url
        base, _, last = url.rpartition("/")
        if names or not last:
            self._base = url
            self._names = list(names)
        else:
            self._base = base
            self._names = [unquote(last)]
        if not urlsplit(self._base).netloc:
            raise StorageError(f"{url}: name the files below it as 'files: [PATH, …]'")
        self._store: ObjectStore = open_object_store(self._base)

    def list(self) -> Listing:
        """List the declared files, with one HEAD request each; see `Landing.list`.

        Returns:
            The files sorted by path, with ETag or modification time as their stamps.

        Raises:
            EmptyLanding: no file is declared.
            DataProblems: names that cannot be committed.
            StorageError: a file is missing or cannot be read; each is named.
        """
        files = together(self._head, self._names)
        if not files:
            raise EmptyLanding(f"{self.url}: no file is named; list them as 'files: [PATH, …]'")
        return checked(self.url, Listing(files), [])

    def _head(self, name: str) -> LandedFile:
        with explained(f"{self._base}/{name}", "read"):
            entry = obstore.head(self._store, name)
        return LandedFile(name, entry["size"], stamp_of(entry), modified=modified_of(entry))

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Download a file; see `Landing.fetch`.

        Args:
            file: as `list` returned it.
            folder: the file is written below it, under its landed path.

        Raises:
            StorageError: it cannot be read, or has changed since it was listed.
        """
        return download(self._store, file.path, file, below(folder, file.path), self._base)

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return the paths of the files that have changed or are gone; see `Landing.changed`.

        Args:
            files: as `list` returned them.
        """
        return [file.path for file in files if not self._same(file)]

    def _same(self, file: LandedFile) -> bool:
        try:
            return self._head(file.path) == file
        except StorageError:
            return False

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return true: servers change the ETag with the content; see `Landing.settled`.

        Args:
            file: as `list` returned it.
            listed: time of the listing in seconds since the epoch.
        """
        return True
