"""The bytes of a data version's files as a stream that is hashed while it is read.

Files are in the workspace or kept by reference. `recall` writes the bytes back, `verify` checks
them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlsplit

import obstore
import pandas as pd

from mlops_assets.datasets.sources.stac.landing import fetch_reference
from mlops_assets.errors import IntegrityError
from mlops_assets.paths import object_key
from mlops_assets.progress import step
from mlops_assets.storage import Workspace
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.storage.stores import explained, local_folder, open_object_store
from mlops_assets.storage.workspace import AT_ONCE

REQUESTS = 16  # under way at once to a server, as in committing
THREADS = 4  # on files of this machine, where more only get into each other's way
_CHUNK = 1 << 20
# what one thread does before it hands in: few calls, and a fair share
_BATCH_FILES = 256
_BATCH_BYTES = 64 << 20
R = TypeVar("R")


class StoredFile(NamedTuple):
    """One file of a data version.

    It has a path below the landing, sha256 (hex), size in bytes, and a place where it stays, if so.
    """

    path: str
    sha256: str
    size: int
    href: str | None


def stored_files(manifest: pd.DataFrame) -> list[StoredFile]:
    """Return the rows of a manifest as files."""
    hrefs = manifest["href"].astype(object).where(manifest["href"].notna(), None)
    columns = (manifest["path"], manifest["sha256"], manifest["size"], hrefs)
    return [StoredFile(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


class StoredBytes:
    """The bytes behind files of data versions.

    They are objects of a workspace, or files kept by reference.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        local = urlsplit(workspace.url).scheme == "file"
        self._objects = f"{local_folder(workspace.url)}/" if local else None
        self._store: Any = None if local else open_object_store(workspace.url)

    @property
    def threads(self) -> int:
        """Number of files to read at once."""
        return THREADS if self._store is None else REQUESTS

    def local_path(self, file: StoredFile) -> str | None:
        """Return the path of the object, if the workspace is a local folder.

        The object may be missing.
        """
        return (
            None if self._objects is None or file.href else self._objects + object_key(file.sha256)
        )

    def where(self, file: StoredFile) -> str:
        """Return the location of the bytes of a file, for people."""
        return file.href or self._workspace.where(object_key(file.sha256))

    def chunks(self, file: StoredFile) -> Iterator[bytes]:
        """Yield the bytes of a file as they are now.

        Raises:
            StorageError: they are missing or cannot be read.
        """
        local = self.local_path(file)
        with explained(self.where(file), "read", "restore it from a backup or land it again"):
            if local is not None:
                yield from _local_chunks(local)
            elif file.href:
                yield from self._referenced_chunks(file.path, file.href)
            else:
                found = obstore.get(self._store, object_key(file.sha256))
                small = found.meta["size"] <= AT_ONCE  # in one piece it takes half as long
                for chunk in [found.bytes()] if small else found.stream(min_chunk_size=_CHUNK):
                    yield bytes(chunk)

    def _referenced_chunks(self, path: str, href: str) -> Iterator[bytes]:
        """Fetch a file kept by reference again, as its bytes may differ from the cache by now."""
        with scratch_folder("fetching", self._workspace.cache) as folder:
            local = folder / "asset"
            fetch_reference(path, href, local)
            yield from _local_chunks(str(local))

    def checked(self, file: StoredFile) -> Iterator[bytes]:
        """Yield the bytes of a file.

        They are known to be the committed bytes when the last chunk has been yielded.

        Raises:
            StorageError: they are missing or cannot be read.
            IntegrityError: they are other bytes.
        """
        digest = hashlib.sha256()
        for chunk in self.chunks(file):
            digest.update(chunk)
            yield chunk
        if digest.hexdigest() != file.sha256:
            raise IntegrityError(f"{file.path}: {self.where(file)} is not as it was published")


def _local_chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  a Path costs more than the call
        while chunk := stream.read(_CHUNK):
            yield chunk


def in_parallel(
    what: str, work: Callable[[StoredFile], R], files: Sequence[StoredFile], threads: int
) -> Iterator[R]:
    """Yield what `work` returns for each file, in order; `what` is what progress calls it.

    The first exception ends it: what has not begun is not begun.
    """
    with (
        step(what, len(files), "files", sum(file.size for file in files)) as done,
        ThreadPoolExecutor(threads) as pool,
    ):

        def run(batch: Sequence[StoredFile]) -> list[R]:
            results = []
            for file in batch:
                results.append(work(file))
                done.advance(size=file.size)
            return results

        for results in pool.map(run, _batches(files)):
            yield from results


def _batches(files: Iterable[StoredFile]) -> Iterator[list[StoredFile]]:
    batch: list[StoredFile] = []
    size = 0
    for file in files:
        batch.append(file)
        size += file.size
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
