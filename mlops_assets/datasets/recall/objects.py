"""The bytes of a data version's files, hashed while they are read.

Files are in the workspace, as single objects or in packs, or kept by reference. `recall` writes the
bytes back, `verify` checks them.
"""

from __future__ import annotations

import hashlib
import itertools
import re
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import obstore
import pandas as pd

from mlops_assets.datasets.io.ahead import batches, in_order
from mlops_assets.datasets.sources.stac.landing import fetch_reference
from mlops_assets.errors import IntegrityError, StorageError, StorageUnreachable
from mlops_assets.paths import PACKS, object_key, pack_key
from mlops_assets.storage import Workspace
from mlops_assets.storage.other_workspace import open_other_workspace
from mlops_assets.storage.scratch import scratch_folder, write_scratch
from mlops_assets.storage.stores import explained, local_folder, open_object_store
from mlops_assets.storage.workspace import AT_ONCE

REQUESTS = 16  # under way at once to a server, as in committing
THREADS = 4  # on files of this machine, where more only get into each other's way
_CHUNK = 1 << 20
# of an object in a pack of another workspace
_ENTRY = re.compile(
    rf"(?P<workspace>.+)/{PACKS}/(?P<start>[0-9a-f]{{2}})/(?P<rest>[0-9a-f]{{62}})"
    r"\.zip/[0-9a-f]{64}"
)
# what one thread does before it hands in, and holds in memory: few calls, and a fair share
_GROUP_FILES = 256
_GROUP_BYTES = 8 << 20
# of a pack, read rather than asked for around: as much arrives while a request waits for its answer
_GAP_BYTES = 128 << 10
# of a pack, from which on it is read as one stream: by fewer requests, though by one connection
STREAMED_FROM = 0.75


class StoredFile(NamedTuple):
    """One file of a data version.

    Attributes:
        path: below the landing.
        sha256: checksum (hex).
        size: in bytes.
        href: URL that it is kept by reference at, if so.
        pack: sha256 (hex) of the pack that has its bytes; None for a single object.
        offset: of its first byte in the pack, be it of another workspace; 0 for a single object.
    """

    path: str
    sha256: str
    size: int
    href: str | None = None
    pack: str | None = None
    offset: int = 0


def stored_files(manifest: pd.DataFrame) -> list[StoredFile]:
    """Return the rows of a manifest as files."""
    hrefs, packs = (
        manifest[name].astype(object).where(manifest[name].notna(), None)
        for name in ("href", "pack")
    )
    offsets = manifest["offset"].fillna(0)
    columns = (manifest["path"], manifest["sha256"], manifest["size"], hrefs, packs, offsets)
    return [StoredFile(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]


def grouped(files: Iterable[StoredFile], whole_from: float | None = None) -> list[list[StoredFile]]:
    """Divide files into groups, each of which is read by one thread, of a pack by one request.

    Files of packs come first, pack by pack and in the order in which they are in it; then the
    others as they were given.

    Args:
        files: to divide.
        whole_from: share of a pack, up to the last of the files in it, from which on they are one
            group; by default there is a group for each range, of up to 8 MiB.
    """
    packed: list[StoredFile] = []
    single: list[StoredFile] = []
    for file in files:
        (single if file.pack is None else packed).append(file)
    packed.sort(key=lambda file: (file.pack, file.offset))
    groups: list[list[StoredFile]] = []
    for _, found in itertools.groupby(packed, lambda file: file.pack):
        of_pack = list(found)
        ranges = list(_ranges(of_pack))
        wanted = sum(_end(part) - part[0].offset for part in ranges)
        if whole_from is not None and wanted >= whole_from * _end(of_pack):
            ranges = [of_pack]
        groups += ranges
    return [*groups, *file_batches(single)]


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
        """Return the path of the single object, if the workspace is a local folder.

        The object may be missing.
        """
        if self._objects is None or file.href or file.pack:
            return None
        return self._objects + object_key(file.sha256)

    def local_pack(self, file: StoredFile) -> str | None:
        """Return the path of the pack that has a file, if the workspace is a local folder."""
        local = self._objects is not None and file.pack is not None
        return f"{self._objects}{pack_key(str(file.pack))}" if local else None

    def where(self, file: StoredFile) -> str:
        """Return the location of the bytes of a file, for people."""
        if file.pack is not None:
            return f"{self._workspace.where(pack_key(file.pack))}/{file.sha256}"
        return file.href or self._workspace.where(object_key(file.sha256))

    def read_many(
        self, files: Iterable[StoredFile]
    ) -> Generator[tuple[StoredFile, bytes], None, None]:
        """Yield files with their bytes, which are known to be the committed ones.

        They come in the order of `grouped`: what is in packs first, pack by pack. Threads read
        ahead, and of a pack only the ranges that are needed. In memory are at most
        `threads` + 1 groups of 8 MiB, or of one larger file, whatever the number of files.

        Args:
            files: of any data versions of the workspace.

        Raises:
            StorageError: bytes are missing or cannot be read.
            IntegrityError: they are other bytes.
        """

        def whole(group: Sequence[StoredFile]) -> list[tuple[StoredFile, bytes]]:
            return [(file, b"".join(chunks)) for file, chunks in self.read(group)]

        with (
            ThreadPoolExecutor(self.threads) as pool,
            closing(in_order(pool, whole, grouped(files), self.threads)) as groups,
        ):
            for group in groups:
                yield from group

    def read(self, group: Sequence[StoredFile]) -> Iterator[tuple[StoredFile, Iterator[bytes]]]:
        """Yield each file of a group of `grouped` with its bytes, to be read before the next.

        They are known to be the committed bytes when the last chunk has been yielded.

        Raises:
            StorageError: they are missing or cannot be read; raised by the chunks, unless the
                server is unreachable.
            IntegrityError: they are other bytes; raised by the chunks.
        """
        if group[0].pack is None:
            for file in group:
                yield file, self.checked(file)
        elif len(group) > 1 and _end(group) - group[0].offset > _GROUP_BYTES:
            yield from self._streamed(group, group[0].pack)
        else:
            yield from self._range(group, group[0].pack)

    def _range(
        self, group: Sequence[StoredFile], pack: str
    ) -> Iterator[tuple[StoredFile, Iterator[bytes]]]:
        begin, end = group[0].offset, _end(group)
        part, problem = memoryview(b""), None
        try:
            part = memoryview(self._workspace.get_pack_range(pack, begin, end - begin))
        except StorageUnreachable:
            raise
        except StorageError as error:
            problem = error
        for file in group:
            start = file.offset - begin
            yield file, self._entry(file, part[start : start + file.size], problem)

    def _streamed(
        self, group: Sequence[StoredFile], pack: str
    ) -> Iterator[tuple[StoredFile, Iterator[bytes]]]:
        """Read a pack from its beginning to the last file of a group.

        What a line is too slow for in the time of one request is asked for by ranges.
        """
        chunks = self._pack_chunks(pack)
        held, begin, problem = b"", 0, None
        for number, file in enumerate(group):
            end = file.offset + file.size
            try:
                while begin + len(held) < end and (chunk := next(chunks, b"")):
                    done = min(max(file.offset - begin, 0), len(held))
                    held, begin = held[done:] + chunk, begin + done
            except StorageUnreachable:
                for part in _ranges(group[number:]):
                    yield from self._range(part, pack)
                return
            except StorageError as error:
                problem = error
            content = memoryview(held)[max(file.offset - begin, 0) : max(end - begin, 0)]
            yield file, self._entry(file, content, problem)

    def _entry(
        self, file: StoredFile, content: memoryview, problem: StorageError | None
    ) -> Iterator[bytes]:
        """Yield the bytes of a file in a pack, or of the single object that repairs them."""
        if hashlib.sha256(content).hexdigest() == file.sha256:
            yield bytes(content)
            return
        repaired = self.repaired(file)
        if repaired is not None:
            yield repaired
        elif problem is None:
            raise self._changed(file)
        else:
            raise StorageError(f"{file.path}: {problem}") from problem.__cause__

    def repaired(self, file: StoredFile) -> bytes | None:
        """Return the bytes of a file whose pack is damaged, if they were stored again singly."""
        try:
            return self._workspace.get_object(file.sha256)
        except (StorageError, IntegrityError):
            return None

    def pack_digests(self, group: Sequence[StoredFile]) -> tuple[str, int, list[str]]:
        """Read a pack, once and whole, as it is now.

        Args:
            group: files in it, by offset.

        Returns:
            Its sha256 and size in bytes; and the sha256 of what is in the place of each file.

        Raises:
            StorageError: it is missing or cannot be read.
        """
        whole = hashlib.sha256()
        digests = [hashlib.sha256() for _ in group]
        first = size = 0
        for chunk in self._pack_chunks(str(group[0].pack)):
            whole.update(chunk)
            start, size = size, size + len(chunk)
            part = memoryview(chunk)
            while first < len(group) and group[first].offset + group[first].size <= start:
                first += 1
            for file, digest in zip(group[first:], digests[first:], strict=True):
                if file.offset >= size:
                    break
                digest.update(
                    part[max(file.offset - start, 0) : max(file.offset + file.size - start, 0)]
                )
        return whole.hexdigest(), size, [digest.hexdigest() for digest in digests]

    def chunks(self, file: StoredFile) -> Iterator[bytes]:
        """Yield the bytes of a file that is in no pack, as they are now.

        Raises:
            StorageError: they are missing or cannot be read.
        """
        local = self.local_path(file)
        gone = "restore it from a backup, or land it again and commit with --rehash"
        with explained(self.where(file), "read", missing=gone):
            if local is not None:
                yield from _local_chunks(local)
            elif file.href:
                yield from self._referenced_chunks(file, file.href)
            else:
                yield from self._key_chunks(object_key(file.sha256))

    def _pack_chunks(self, pack: str) -> Iterator[bytes]:
        key = pack_key(pack)
        self._workspace.require_file(key)
        gone = "restore it from a backup, or commit its dataset with --rehash"
        with explained(self._workspace.where(key), "read", missing=gone):
            yield from self._key_chunks(key)

    def _key_chunks(self, key: str) -> Iterator[bytes]:
        if self._objects is not None:
            yield from _local_chunks(self._objects + key)
            return
        found = obstore.get(self._store, key)
        small = found.meta["size"] <= AT_ONCE  # in one piece it takes half as long
        for chunk in [found.bytes()] if small else found.stream(min_chunk_size=_CHUNK):
            yield bytes(chunk)

    def _referenced_chunks(self, file: StoredFile, href: str) -> Iterator[bytes]:
        """Fetch a file kept by reference again, as its bytes may differ from the cache by now."""
        with scratch_folder("fetching", self._workspace.cache) as folder:
            local = folder / "asset"
            fetch_referenced(file, href, local, self._workspace.cache)
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
            raise self._changed(file)

    def _changed(self, file: StoredFile) -> IntegrityError:
        return IntegrityError(
            f"{file.path}: {self.where(file)} is not as it was published; restore it from a backup,"
            " or land its file again and commit with --rehash"
        )


def fetch_referenced(file: StoredFile, href: str, target: Path, cache: Path) -> None:
    """Copy the bytes of a file that is kept by reference, be it in a pack of another workspace.

    Args:
        file: of a data version.
        href: its URL; of an entry in a pack, that of the pack and the name of the entry.
        target: the local path.
        cache: folder for packs from stores that return no parts of files.

    Raises:
        StorageError: they are missing or cannot be read.
    """
    entry = _ENTRY.fullmatch(href)
    if not file.offset or entry is None:
        fetch_reference(file.path, href, target)
        return
    other = open_other_workspace(entry["workspace"], cache)
    content = other.get_pack_range(entry["start"] + entry["rest"], file.offset, file.size)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_scratch(target, [bytes(content)])


def _local_chunks(path: str) -> Iterator[bytes]:
    with open(path, "rb", buffering=0) as stream:  # noqa: PTH123  a Path costs more than the call
        while chunk := stream.read(_CHUNK):
            yield chunk


def file_batches(files: Iterable[StoredFile]) -> Iterator[list[StoredFile]]:
    """Divide files, in their order, into groups that one thread takes at once."""
    return batches(files, lambda file: file.size, _GROUP_FILES, _GROUP_BYTES)


def _ranges(files: Sequence[StoredFile]) -> Iterator[list[StoredFile]]:
    """Divide files of a pack, by offset, where a gap is large, or it is enough."""
    group: list[StoredFile] = []
    end = 0
    for file in files:
        after = file.offset + file.size
        if group and (
            file.offset > end + _GAP_BYTES or max(after, end) - group[0].offset > _GROUP_BYTES
        ):
            yield group
            group, end = [], 0
        group.append(file)
        end = max(after, end)
    if group:
        yield group


def _end(files: Iterable[StoredFile]) -> int:
    """Return where the last of some files of a pack ends in it."""
    return max(file.offset + file.size for file in files)
