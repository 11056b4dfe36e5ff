"""One workspace on an object store: keys in, bytes out, through obstore.

Nothing here knows what a data version or a model is.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, BinaryIO, NamedTuple
from urllib.parse import urlsplit

import obstore
from obstore.exceptions import NotFoundError

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import is_file_key, object_key, pack_key
from mlops_assets.storage.checksums import HashedFile, sha256_of
from mlops_assets.storage.copies import Copies
from mlops_assets.storage.packs import (
    PACK_BELOW_IN_BUCKET,
    PACK_BELOW_IN_FOLDER,
    Pack,
    Place,
)
from mlops_assets.storage.scratch import scratch_folder, write_scratch
from mlops_assets.storage.stores import (
    BUCKETS,
    explained,
    is_missing,
    join,
    local_folder,
    open_object_store,
)

if TYPE_CHECKING:
    from obstore.store import ObjectStore

# bytes up to which a file is held in memory: read once, so that what is hashed is what is stored
AT_ONCE = 8 << 20
_CHUNK = 1 << 20
# how obstore names an answer to a range that is not marked as a part (status 200 instead of 206)
_WHOLE_ANSWER = "non-partial response"
_WRITE_REMEDY = "free space or fix permissions and run it again"
_GONE = "restore it from a backup, or commit or train again"


@dataclass(frozen=True)
class FileStat:
    """A stored file as published: its key in the workspace, sha256 (hex) and size in bytes.

    `staged` is the key where its bytes are until its publication is complete, if they replace
    others.
    """

    path: str
    sha256: str
    size: int
    staged: str | None = None


class StoredEntry(NamedTuple):
    """A file as its store lists it; it was not read.

    Attributes:
        key: path in the workspace.
        size: in bytes.
        written: when, as the store reports it.
    """

    key: str
    size: int
    written: datetime


class Workspace:
    """A workspace: a tree of keys under one URL, and a local folder for what is fetched from it.

    Attributes:
        url: of the folder or bucket.
        cache: folder for local copies.
        pack_below: size in bytes below which objects are packed if a commit has many; 0 for none.
    """

    def __init__(self, url: str, cache: Path | None = None, pack_below: int | None = None) -> None:
        """Open the workspace at `url` (`file:///…`, `s3://…`, `az://…`, `gs://…`).

        Its folder is made if it is missing.

        Args:
            url: of the folder or bucket.
            cache: folder for local copies; for a `file://` workspace its own `cache/` unless given.
            pack_below: size in bytes below which objects are packed, 0 for none; by default
                256 KiB in a bucket, and 16 KiB in a folder, where larger ones can be linked to.

        Raises:
            StorageError: the folder cannot be made, is not a folder, or the URL cannot be opened.
        """
        self.url = url.rstrip("/")
        scheme = urlsplit(url).scheme
        self._root = local_folder(url) if scheme == "file" else None
        if self._root is None and scheme not in BUCKETS:
            raise StorageError(f"workspace {url}: choose a file://, s3://, az:// or gs:// URL")
        try:
            if self._root:
                self._root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(
                f"workspace {url} cannot be opened: {error}; choose another MLOPS_WORKSPACE"
            ) from error
        if cache is None and self._root is None:
            raise StorageError(f"workspace {url} needs a local folder for caches; set MLOPS_CACHE")
        self.cache: Path = cache or self._root / "cache"  # type: ignore[operator]
        if pack_below is None:
            pack_below = PACK_BELOW_IN_FOLDER if self._root else PACK_BELOW_IN_BUCKET
        self.pack_below = pack_below
        self._store: ObjectStore = open_object_store(self.url)
        self._gives_parts = True  # until the store has answered a range with a whole file
        self._fetching: dict[str, Lock] = {}  # packs from a store that gives no parts
        self._copies = Copies(self.cache)

    @property
    def root(self) -> Path:
        """The folder of a `file://` workspace.

        Raises:
            StorageError: the workspace is not a folder.
        """
        if self._root is None:
            raise StorageError(f"workspace {self.url} is not a folder of this machine")
        return self._root

    @property
    def is_local(self) -> bool:
        """True if it is a folder of this machine."""
        return self._root is not None

    def where(self, key: str) -> str:
        """Return the path or URL of a key, for messages.

        Args:
            key: path in the workspace.
        """
        return str(self._root / key) if self._root else join(self.url, key)

    def put(self, key: str, content: bytes | Path) -> FileStat:
        """Write one file atomically: readers see the old content, then the new one, never a part.

        Args:
            key: path in the workspace; what was there is replaced.
            content: bytes, or a local file.

        Returns:
            Key, checksum and size of what was written.

        Raises:
            StorageError: it could not be written (disk full, no permission, source gone).
        """
        digest = sha256_of(content)
        return self._put(key, content, digest)

    def _put(self, key: str, content: bytes | Path, digest: str) -> FileStat:
        """Write content whose checksum is known.

        A large file is hashed again while it is read for writing.
        """
        with explained(f"{key} to {self.url}", "written", _WRITE_REMEDY):
            if isinstance(content, bytes):
                obstore.put(self._store, key, content)
                return FileStat(key, digest, len(content))
            if content.stat().st_size <= AT_ONCE:
                data = content.read_bytes()
                if sha256_of(data) != digest:
                    raise _changed(content)
                obstore.put(self._store, key, data)
                return FileStat(key, digest, len(data))
            source = HashedFile(content)
            if self._root is not None:
                return self._copy(key, source, digest)
            obstore.put(self._store, key, source)
        if source.hexdigest() != digest:
            obstore.delete(self._store, key)
            raise _changed(content)
        return FileStat(key, digest, source.size)

    def _copy(self, key: str, source: HashedFile, digest: str) -> FileStat:
        """Write a large file of a local workspace."""
        with self._written_whole(key) as stream:
            stream.writelines(source)
            if source.hexdigest() != digest:
                raise _changed(source.path)
        return FileStat(key, digest, source.size)

    @contextmanager
    def _written_whole(self, key: str) -> Iterator[BinaryIO]:
        """Open a file of a local workspace, which appears at its place at the end.

        What a killed process leaves of it is removed by the next one.
        """
        if not is_file_key(key):
            raise ValueError("that key is not a valid path of a file below a folder")
        target = self.root / key
        with scratch_folder("writing", self.root) as folder:
            with (folder / "content").open("wb") as stream:
                yield stream
            target.parent.mkdir(parents=True, exist_ok=True)
            (folder / "content").replace(target)

    def get(self, key: str) -> bytes:
        """Return the content of one file.

        Args:
            key: path in the workspace.

        Raises:
            StorageError: it is not there or cannot be read.
        """
        with self._reading(key):
            return bytes(obstore.get(self._store, key).bytes())

    def get_pack_range(self, pack: str, offset: int, size: int) -> memoryview:
        """Return a part of a pack, not copied; less of it where the pack ends before.

        From stores that return no parts of files, as some gateways do not, the pack is fetched into
        the cache, once.

        Args:
            pack: checksum of the pack, as 64 hexadecimal digits.
            offset: of the first byte.
            size: in bytes.

        Raises:
            StorageError: it is not there or cannot be read.
        """
        if size <= 0 or offset < 0:  # of a manifest that others wrote: nothing is there
            return memoryview(b"")
        key = pack_key(pack)
        if self._gives_parts:
            try:
                with self._reading(key):
                    part = obstore.get_range(self._store, key, start=offset, length=size)
                    return memoryview(part)
            except StorageError as error:
                if _WHOLE_ANSWER in str(error.__cause__):
                    self._gives_parts = False
                elif is_missing(error.__cause__) or not self._ends_before(key, offset + size):
                    raise
        with self._fetching.setdefault(pack, Lock()):
            try:
                local = self.local_path(key, pack)
            except IntegrityError:  # which is not kept
                return memoryview(self.get(key))[offset : offset + size]
            with self._reading(key), local.open("rb") as stream:
                stream.seek(offset)
                return memoryview(stream.read(size))

    def _ends_before(self, key: str, end: int) -> bool:
        with self._reading(key):
            return bool(obstore.head(self._store, key)["size"] < end)

    def get_packed(self, sha256: str, size: int, place: Place) -> bytes:
        """Return the content of an object that is in a pack.

        Where the pack is missing or damaged, a single object of this checksum takes its place.

        Args:
            sha256: checksum of the object, as 64 hexadecimal digits.
            size: of the object, in bytes.
            place: where it is.

        Raises:
            StorageError: it is not there or cannot be read.
            IntegrityError: it has changed.
        """
        key = pack_key(place.pack)
        try:
            content = bytes(self.get_pack_range(place.pack, place.offset, size))
            if sha256_of(content) != sha256:
                raise IntegrityError(
                    f"object {sha256} in {key} is not as it was stored; land its file again and"
                    " commit with --rehash, or restore the pack from a backup"
                )
        except (StorageError, IntegrityError) as error:
            try:
                return self.get_object(sha256)
            except (StorageError, IntegrityError):
                raise error from error.__cause__
        return content

    def get_object(self, sha256: str) -> bytes:
        """Return the content of an object.

        Args:
            sha256: its checksum, as 64 hexadecimal digits.

        Raises:
            StorageError: it is not there or cannot be read.
            IntegrityError: it has changed.
        """
        content = self.get(object_key(sha256))
        if sha256_of(content) != sha256:
            raise IntegrityError(
                f"{object_key(sha256)} is not as it was stored; restore it from a backup"
            )
        return content

    def stat(self, key: str) -> FileStat:
        """Read one file again.

        Args:
            key: path in the workspace.

        Returns:
            Its present checksum and size in bytes.

        Raises:
            StorageError: it is not there or cannot be read.
        """
        digest = hashlib.sha256()
        size = 0
        with self._reading(key):
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        return FileStat(key, digest.hexdigest(), size)

    def written(self, key: str) -> datetime:
        """Return the time at which a file was written, as its store reports it.

        Args:
            key: path in the workspace.

        Raises:
            StorageError: it is not there.
        """
        with self._reading(key):
            moment: datetime = obstore.head(self._store, key)["last_modified"]
        return moment

    def exists(self, key: str) -> bool:
        """Return whether a file is there.

        Args:
            key: path in the workspace.
        """
        try:
            with self._reading(key):
                obstore.head(self._store, key)
        except StorageError as error:
            if is_missing(error.__cause__):
                return False
            raise
        return True

    def remove(self, key: str) -> None:
        """Remove one file, if it is there.

        Args:
            key: path in the workspace.

        Raises:
            StorageError: it cannot be removed.
        """
        try:
            with explained(f"{key} of {self.url}", "removed", "fix permissions and run it again"):
                obstore.delete(self._store, key)
        except StorageError as error:
            if not is_missing(error.__cause__):
                raise

    def remove_folder(self, prefix: str) -> None:
        """Remove the files under a folder, and the folder itself where it is one of this machine.

        Args:
            prefix: key of the folder.

        Raises:
            StorageError: a file cannot be removed.
        """
        for key in list(self.list(prefix)):
            self.remove(key)
        if self._root is None:
            return
        for folder, _, _ in os.walk(self._root / prefix, topdown=False):
            # another process may have just written into it
            with suppress(OSError):
                Path(folder).rmdir()

    def move(self, source: str, target: str, sha256: str) -> None:
        """Move one file over another, atomically for readers of `target`.

        A file that was moved already is left as it is.

        Args:
            source: key of the file.
            target: its new key; what was there is replaced.
            sha256: its checksum.

        Raises:
            StorageError: it cannot be moved.
            IntegrityError: its bytes have another checksum; nothing was moved.
        """
        with scratch_folder("moving") as folder:
            local = folder / "content"
            try:
                self._fetch(source, local, sha256)
            except StorageError as error:
                if is_missing(error.__cause__):
                    return
                raise
            self.put(target, local)
        self.remove(source)

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a folder, in no order.

        Args:
            prefix: key of the folder.
        """
        with self._reading(prefix):
            for page in obstore.list(self._store, prefix.rstrip("/") or None):
                for entry in page:
                    yield entry["path"]

    def sizes(self, prefix: str) -> dict[str, int]:
        """Return the keys under a folder with the sizes of their files, in bytes.

        Args:
            prefix: key of the folder.
        """
        with self._reading(prefix):
            pages = obstore.list(self._store, prefix.rstrip("/") or None)
            return {entry["path"]: entry["size"] for page in pages for entry in page}

    def entries(self, prefix: str) -> Iterator[StoredEntry]:
        """Yield the files under a folder, in no order; a page of them is in memory at a time.

        Args:
            prefix: key of the folder.
        """
        with self._reading(prefix):
            for page in obstore.list(self._store, prefix.rstrip("/") or None, chunk_size=1_000):
                for entry in page:
                    yield StoredEntry(entry["path"], entry["size"], entry["last_modified"])

    def local_path(self, key: str, sha256: str | None = None) -> Path:
        """Return a readable local path of one file.

        Native readers such as rasterio and onnxruntime need one.

        Args:
            key: the file.
            sha256: its published checksum, under which a copy of a remote file is kept in the
                cache; a copy that has changed is fetched again.

        Raises:
            StorageError: it is not there.
            IntegrityError: a file that had to be fetched is not as it was published.
        """
        if self._root is not None:
            path = self._root / key
            if not (is_file_key(key) and path.is_file()):
                raise StorageError(f"{key} is missing from {self.url}; {_GONE}")
            return path
        if sha256 is None:
            return self._copies.unchecked(key, lambda target: self._fetch(key, target, None))
        return self._copies.checked(sha256, lambda target: self._fetch(key, target, sha256))

    def local_object(self, sha256: str, size: int, place: Place | None) -> Path:
        """Return a readable local path of an object; one from a pack is kept in the cache.

        Args:
            sha256: its checksum, as 64 hexadecimal digits.
            size: in bytes.
            place: where it is in a pack; None for a single object.

        Raises:
            StorageError: it is not there.
            IntegrityError: an object that had to be fetched is not as it was stored.
        """
        if place is None:
            return self.local_path(object_key(sha256), sha256)

        def write(target: Path) -> None:
            write_scratch(target, [self.get_packed(sha256, size, place)])

        return self._copies.checked(sha256, write)

    def fetch(self, key: str, target: Path) -> FileStat:
        """Write one file to a local path.

        Args:
            key: path in the workspace.
            target: of the copy.

        Returns:
            Its checksum and size in bytes, as they were read.

        Raises:
            StorageError: it is not there or cannot be read.
        """
        digest = hashlib.sha256()
        size = 0
        with target.open("wb") as stream, self._reading(key):
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
                digest.update(chunk)
                size += len(chunk)
                stream.write(chunk)
        return FileStat(key, digest.hexdigest(), size)

    def _fetch(self, key: str, target: Path, sha256: str | None) -> None:
        found = self.fetch(key, target)
        if sha256 is not None and found.sha256 != sha256:
            raise IntegrityError(
                f"{key} in {self.url} is not as it was published; try again, or restore it from a"
                " backup"
            )

    def put_object(self, content: bytes | Path, anew: bool = False) -> FileStat:
        """Store bytes once under their own checksum.

        A second call with the same bytes writes nothing.

        Args:
            content: bytes, or a local file; one that changes meanwhile is refused.
            anew: write it even if it is there already, which repairs a damaged object.

        Returns:
            Key, checksum and size of the object.

        Raises:
            StorageError: it could not be read or written, or changed while it was being stored.
        """
        if isinstance(content, Path):
            with explained(
                str(content), "read", missing="land it again, and wait until the landing is settled"
            ):
                if content.stat().st_size <= AT_ONCE:
                    content = content.read_bytes()
        digest = sha256_of(content)
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        # a small object on a remote store is written faster than its presence is checked
        if (
            not anew
            and (self._root is not None or size > AT_ONCE)
            and self.has_object(digest, size)
        ):
            return FileStat(object_key(digest), digest, size)
        return self._put(object_key(digest), content, digest)

    def still_has_pack(self, sha256: str) -> bool:
        """Return whether a stored pack is still there, as far as known without asking a server.

        Args:
            sha256: its checksum.
        """
        return self._root is None or (self._root / pack_key(sha256)).is_file()

    def put_pack(self, pack: Pack, anew: bool = False) -> dict[str, Place]:
        """Store a pack once under its own checksum.

        Args:
            pack: takes no more objects then.
            anew: write it even if it is there already, which repairs a damaged pack.

        Returns:
            Where each of its objects is, by checksum.

        Raises:
            StorageError: it could not be written.
        """
        content = pack.content()
        digest = pack.sha256()
        key = pack_key(digest)
        if anew or not self._has(key, len(content)):
            with explained(f"{key} to {self.url}", "written", _WRITE_REMEDY):
                if self._root is None:
                    obstore.put(self._store, key, content)
                else:
                    with self._written_whole(key) as stream:
                        stream.write(content)
        return {sha256: Place(digest, offset) for sha256, offset in pack.offsets.items()}

    def has_object(self, sha256: str, size: int) -> bool:
        """Return whether an object of this size is there; it is not read.

        Args:
            sha256: its checksum.
            size: in bytes.
        """
        return self._has(object_key(sha256), size)

    def _has(self, key: str, size: int) -> bool:
        """Return whether a file of this size is there."""
        if self._root is not None:
            try:
                # a Path costs more than the call
                return os.stat(f"{self._root}/{key}").st_size == size  # noqa: PTH116
            except OSError:
                return False
        try:
            with self._reading(key):
                return bool(obstore.head(self._store, key)["size"] == size)
        except StorageError as error:
            if is_missing(error.__cause__):
                return False
            raise

    def still_has(self, sha256: str, size: int) -> bool:
        """Return whether a stored object is still there, as far as known without asking a server.

        Asking for each of many thousands would take as long as storing them; `verify` does ask.

        Args:
            sha256: its checksum.
            size: in bytes.
        """
        return self._root is None or self.has_object(sha256, size)

    def require_file(self, key: str) -> None:
        """Refuse a key of a local workspace whose reading may never end.

        Args:
            key: path in the workspace; nothing may be there.

        Raises:
            StorageError: a pipe or device is there.
        """
        if self._root is not None and _blocks(self._root / key):
            raise StorageError(
                f"{key} of {self.url} is a pipe or device, which is not read; restore the file"
            )

    @contextmanager
    def _reading(self, key: str) -> Iterator[None]:
        with explained(f"{key} of {self.url}", "read"):
            self.require_file(key)
            try:
                yield
            except (NotFoundError, FileNotFoundError) as error:
                raise StorageError(f"{key} is missing from {self.url}; {_GONE}") from error


def _blocks(path: Path) -> bool:
    """Return whether reading a path may block or never end, as a pipe or device does."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):  # reported by the reader
        return False
    return not (stat.S_ISREG(mode) or stat.S_ISDIR(mode))


def _changed(source: Path) -> StorageError:
    return StorageError(
        f"{source} changed while it was being stored; wait until it is settled and try again"
    )
