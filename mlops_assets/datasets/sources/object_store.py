"""Landings in object stores: S3, Azure Blob, Google Cloud Storage."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypedDict

import obstore

from mlops_assets.datasets.sources.base import LandedFile, Scene, below, is_hidden
from mlops_assets.datasets.sources.listing import Listing, checked
from mlops_assets.errors import EmptyLanding, StorageError
from mlops_assets.storage.stores import explained, open_object_store

if TYPE_CHECKING:
    from datetime import datetime

    from obstore.store import ObjectStore

_CHUNK = 1 << 20


class ObjectMeta(TypedDict):
    """Metadata of an object, as obstore has it; size in bytes."""

    path: str
    size: int
    e_tag: str | None
    last_modified: datetime


class OpenObject(Protocol):
    """An object that is being read."""

    @property
    def meta(self) -> ObjectMeta:
        """Its metadata."""

    def stream(self, min_chunk_size: int) -> Iterable[bytes]:
        """Yield its bytes, in chunks of about this size."""


class ReadableStore(Protocol):
    """A store that objects are read from: one of obstore's, or a public web server."""

    def head(self, path: str) -> ObjectMeta:
        """Return the metadata of an object."""

    def get(self, path: str) -> OpenObject:
        """Open an object."""


class BucketLanding:
    """All objects below a URL.

    Attributes:
        url: s3, az or gs, with the bucket and a prefix.
    """

    scenes: Sequence[Scene] = ()
    copies = True

    def __init__(self, url: str) -> None:
        """Take the URL of a bucket, or of a prefix in it.

        Raises:
            StorageError: the store cannot be opened.
        """
        self.url = url
        self._store: ObjectStore = open_object_store(url)

    def list(self) -> Listing:
        """List all objects, in pages of 1,000; see `Landing.list`.

        Returns:
            The files sorted by path, with ETag or modification time as their stamps.

        Raises:
            EmptyLanding: there is no object.
            DataProblems: names that cannot be committed.
            StorageError: the store cannot be listed.
        """
        with explained(f"landing {self.url}", "listed"):
            pages = obstore.list(self._store, chunk_size=1000)
            files = _without_markers(Listing(file for page in pages for file in _landed(page)))
        if not files:
            raise EmptyLanding(f"landing {self.url} is empty; put training data into it")
        return checked(self.url, files, [])

    def is_empty(self) -> bool:
        """Return whether there is no object; one page is requested, however many objects there are.

        Raises:
            StorageError: the store cannot be listed.
        """
        with explained(f"landing {self.url}", "listed"):
            return not any(len(page) for page in obstore.list(self._store, chunk_size=1))

    def fetch(self, file: LandedFile, folder: Path) -> Path:
        """Download an object; see `Landing.fetch`.

        Args:
            file: as `list` returned it.
            folder: the object is written below it, under its landed path.

        Raises:
            StorageError: it cannot be read, or has changed since it was listed.
        """
        return download(self._store, file.path, file, below(folder, file.path), self.url)

    def changed(self, files: Iterable[LandedFile]) -> Sequence[str]:
        """Return the paths of the objects that have changed or are gone; see `Landing.changed`.

        The store is listed again, as a request for each object takes longer.

        Args:
            files: as `list` returned them.

        Raises:
            StorageError: the store cannot be listed.
        """
        try:
            now = self.list().by_path
        except EmptyLanding:
            now = Listing(()).by_path
        return [file.path for file in files if now.get(file.path) != file]

    def settled(self, file: LandedFile, listed: float) -> bool:
        """Return true: servers change the ETag with the content; see `Landing.settled`.

        Args:
            file: as `list` returned it.
            listed: time of the listing in seconds since the epoch.
        """
        return True


def _landed(entries: Iterable[ObjectMeta]) -> Sequence[LandedFile]:
    return [
        LandedFile(entry["path"], entry["size"], stamp_of(entry), modified=modified_of(entry))
        for entry in entries
        if not is_hidden(entry["path"])
    ]


def _without_markers(files: Listing) -> Listing:
    """Leave out the empty objects by which consoles mark folders."""
    if all(files.sizes):
        return files
    folders = {""}
    for path in files.paths:
        folder = path.rpartition("/")[0]
        while folder not in folders:
            folders.add(folder)
            folder = folder.rpartition("/")[0]
    return Listing(file for file in files if file.size or file.path not in folders)


def stamp_of(entry: ObjectMeta) -> str:
    """Return the ETag of an object, or its modification time where the server has none.

    Some servers quote ETags in one response and not in another, or have times to the second in one
    only.
    """
    if entry["e_tag"]:
        return str(entry["e_tag"]).removeprefix("W/").strip('"')
    return str(entry["last_modified"].replace(microsecond=0).isoformat())


def modified_of(entry: ObjectMeta) -> float:
    """Return when an object last changed, seconds since the epoch."""
    return float(entry["last_modified"].timestamp())


def download(store: ReadableStore, key: str, file: LandedFile, target: Path, url: str) -> Path:
    """Copy one object to a local path, if it is unchanged since it was listed.

    Args:
        store: the store of the object.
        key: its key in the store.
        file: as it was listed.
        target: the local path.
        url: of the store, for messages.

    Returns:
        The local path.

    Raises:
        StorageError: it cannot be read, has changed since it was listed, or is truncated.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with explained(f"{url}/{key}", "read"), target.open("wb") as stream:
        found = store.get(key)
        if stamp_of(found.meta) != file.stamp:
            raise StorageError(
                f"{url}/{key} changed while being committed;"
                " wait until it is settled and commit again"
            )
        for chunk in found.stream(min_chunk_size=_CHUNK):
            stream.write(chunk)
            size += len(chunk)
            if size > file.size:
                raise StorageError(
                    f"{url}/{key} has more than the {file.size} bytes that it was listed with"
                )
    if size != file.size:
        raise StorageError(
            f"{url}/{key} was read in part only ({size} of {file.size} bytes); commit again"
        )
    return target
