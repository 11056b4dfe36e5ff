"""Store the bytes of landed files in the workspace, in parallel and each once.

The registry remembers stored files as they are stored, so that an interrupted commit resumes.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mlops_assets.datasets.commit.packing import Packing, PlacedFile
from mlops_assets.datasets.io.ahead import batches, in_order
from mlops_assets.datasets.sources.base import LandedFile
from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.datasets.sources.snapshot import Landed
from mlops_assets.datasets.sources.stored_objects import StoredObjects
from mlops_assets.datasets.versions.contents import unknown
from mlops_assets.progress import Step, step
from mlops_assets.registry import Registry
from mlops_assets.registry.files.landed_files import Identity
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.packs import Place

# requests under way at once: what keeps two cores busy against an object store, see benchmarks/
THREADS = 16
# … or at least, from folder to folder, where more only take memory (malloc's arenas, batches ahead)
_LOCAL_THREADS = 4
# files that are handed in and remembered together; also what an interrupted commit loses at most,
# a thread, beside the packs that were not stored
_BATCH = 256
_REMEMBERED_AT_ONCE = 4096  # files of a pack; bounds the memory that their rows take
_BATCH_BYTES = 2 << 20  # of files to be packed, which are held in memory, and of others
_NONE = np.empty(0, "S64")


def known_files(
    workspace: Workspace, registry: Registry, source: str, files: Listing
) -> StoredObjects:
    """Return the objects of those files that are in the workspace already.

    They are recognised by path, size and stamp.
    """
    known = StoredObjects()
    packs = _Packs(workspace)
    following = 0  # identities mostly come in the order of the paths
    for (path, size, stamp, sha256), place in registry.landed_objects(source):
        position: int | None = following
        if following >= len(files) or files.paths[following] != path:
            position = files.position(path)
        if position is None:
            continue
        following = position + 1
        if files.identity(position) != (size, stamp):
            continue
        if not known.count:
            known = StoredObjects(len(files))
        if path in files.hrefs:
            known.put(position, sha256, None)
        elif _still_has(workspace, packs, sha256, size, place):
            known.put(position, sha256, place)
    return known


def _still_has(
    workspace: Workspace, packs: _Packs, sha256: str, size: int, place: Place | None
) -> bool:
    """Return whether an object is still where it was stored, and may be there for a new version."""
    if place is None:
        return workspace.still_has(sha256, size)
    return bool(workspace.pack_below) and place.pack in packs


class _Packs:
    """The packs of a workspace; each is looked for once."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._found: dict[str, bool] = {}

    def __contains__(self, pack: str) -> bool:
        found = self._found.get(pack)
        if found is None:
            found = self._found[pack] = self._workspace.still_has_pack(pack)
        return found


def store_files(
    registry: Registry,
    landed: Landed,
    files: Listing,
    listed: float,
    again: bool = False,
    singles: NDArray[np.bytes_] = _NONE,
) -> pd.DataFrame:
    """Store every file that is not known yet; files kept by reference are hashed only.

    Args:
        registry: remembers what has been stored.
        landed: the landing, with local copies.
        files: those that belong to the data version.
        listed: when the landing was listed, seconds since the epoch.
        again: write single objects again that exist already.
        singles: checksums (hex, sorted) of objects that a bucket has by themselves; others of it
            may be packed once more.

    Returns:
        Columns sha256, size, href, pack and offset of all files, in the order given.

    Raises:
        StorageError: a file cannot be read or stored.
    """
    table = _Table(registry, landed, files, listed)
    todo = table.missing()
    size = sum(files.sizes[number] for number in todo)
    workspace = landed.workspace
    threads = THREADS
    if workspace.is_local and not landed.landing.copies:
        threads = min(THREADS, max(_LOCAL_THREADS, os.cpu_count() or 1))
    with (
        step("hashing and storing", len(todo), "files", size) as done,
        ThreadPoolExecutor(threads) as readers,
        ThreadPoolExecutor(THREADS) as writers,
        closing(Packing(workspace, registry, writers, table.add)) as packing,
    ):
        reader = _Reader(landed, files, again, singles, done)
        packs = _Packs(workspace)
        read_at_once = batches(todo, files.sizes.__getitem__, _BATCH, _BATCH_BYTES)
        for batch in in_order(readers, reader.read, read_at_once, threads - 1):
            packing.index_stored()
            places = registry.packed(
                read.sha256 for read in batch if files.paths[read.number] not in files.hrefs
            )
            single: list[_Read] = []
            for read in batch:
                place = places.get(read.sha256)
                if read.content is None:
                    single.append(read)
                elif place is None:
                    packing.add(read.number, read.sha256, read.content)
                elif again or place.pack in packs:
                    table.add([PlacedFile(read.number, read.sha256, place)])
                else:
                    # not in another pack, where older versions would not find them
                    single.append(read)
            lost = [read.content for read in single if read.content is not None]
            for _ in writers.map(workspace.put_object, lost):
                pass
            registry.forget_packed(read.sha256 for read in single if read.sha256 in places)
            table.add([PlacedFile(read.number, read.sha256, None) for read in single])
        packing.finish()
        table.remember()
    return table.frame()


class _Table:
    """Where the bytes of each file are; what is added is remembered for the next commit."""

    def __init__(self, registry: Registry, landed: Landed, files: Listing, listed: float) -> None:
        self._registry = registry
        self._landed = landed
        self._files = files
        self._listed = listed
        self._objects = StoredObjects(len(files))
        self._new: list[Identity] = []
        known = landed.known
        for number, path in enumerate(files.paths) if known.count else ():
            position = number if files is landed.files else landed.known_position(path)
            sha256 = None if position is None else known.sha256(position)
            if position is not None and sha256 is not None:
                self._objects.put(number, sha256, known.place(position))

    def missing(self) -> list[int]:
        """Return the numbers of the files that have not been stored."""
        return self._objects.missing()

    def add(self, stored: Sequence[PlacedFile]) -> None:
        """Add files whose bytes have been stored."""
        landing = self._landed.landing
        for one in stored:
            self._objects.put(one.number, one.sha256, one.place)
            file = self._files[one.number]
            if landing.settled(file, self._listed):
                self._new.append((file.path, file.size, file.stamp, one.sha256))
            if len(self._new) >= _REMEMBERED_AT_ONCE:
                self.remember()
        if len(self._new) >= _BATCH:
            self.remember()

    def remember(self) -> None:
        """Hand to the registry what has been added."""
        self._registry.remember_landed(self._landed.landing.url, self._new)
        self._new.clear()

    def frame(self) -> pd.DataFrame:
        """Return it as a table."""
        frame = self._objects.frame()
        frame.insert(1, "size", np.array(self._files.sizes, np.int64))
        hrefs = unknown(len(frame))
        if self._files.hrefs:
            hrefs = pd.Series(map(self._files.hrefs.get, self._files.paths), dtype="str")
        frame.insert(2, "href", hrefs)
        return frame


class _Read(NamedTuple):
    """A file that has been read: number, sha256, and its bytes unless they are stored already."""

    number: int
    sha256: str
    content: bytes | None


class _Reader:
    """Reads files, and stores those that are not to be packed."""

    def __init__(
        self,
        landed: Landed,
        files: Listing,
        again: bool,
        singles: NDArray[np.bytes_],
        done: Step,
    ) -> None:
        self._workspace = landed.workspace
        self._landed = landed
        self._files = files
        self._again = again
        self._singles = singles
        self._done = done

    def read(self, batch: Sequence[int]) -> list[_Read]:
        """Read files by their numbers."""
        found = []
        for number in batch:
            found.append(self._read(number))
            self._done.advance(size=self._files.sizes[number])
        return found

    def _read(self, number: int) -> _Read:
        file = self._files[number]
        if file.href is not None or file.size >= self._workspace.pack_below:
            return _Read(number, _store(self._landed, file, self._again), None)
        content = self._landed.content(file)
        sha256 = sha256_of(content)
        if not self._is_single(sha256, file.size):
            return _Read(number, sha256, content)
        if self._again:
            self._workspace.put_object(content, anew=True)
        return _Read(number, sha256, None)

    def _is_single(self, sha256: str, size: int) -> bool:
        """Return whether an object is there by itself; a server is asked only when repairing."""
        if self._again or self._workspace.is_local:
            return self._workspace.has_object(sha256, size)
        place = np.searchsorted(self._singles, sha256.encode())
        return bool(place < len(self._singles) and self._singles[place] == sha256.encode())


def _store(landed: Landed, file: LandedFile, again: bool) -> str:
    local = landed.local(file)
    return sha256_of(local) if file.href else landed.workspace.put_object(local, again).sha256
