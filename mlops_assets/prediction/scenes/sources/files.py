"""Files of scenes by URL: which may be read, their facts, and checked copies.

Files of the workspace, and of the server or bucket of the source that a user named, are read as the
user may; files elsewhere as those of other hosts are, see `datasets.sources.external_assets`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from mlops_assets.datasets.sources.external_assets import store_outside
from mlops_assets.datasets.sources.stac.hrefs import path_below, same_origin
from mlops_assets.errors import DiskFull, IntegrityError, StorageError
from mlops_assets.storage.checksums import multihash
from mlops_assets.storage.stores import WEB, explained, local_folder, open_object_store
from mlops_assets.text.secret_urls import redacted

if TYPE_CHECKING:
    from mlops_assets.datasets.sources.object_store import ObjectMeta, ReadableStore

_CHUNK = 8 << 20


@dataclass(frozen=True)
class CallerLimits:
    """Limits of the files that a caller of a server names or sends.

    Attributes:
        file_bytes: of one file.
        pixels: of one raster, in each of its bands.
    """

    file_bytes: int
    pixels: int


@dataclass(frozen=True)
class Own:
    """The places that are read with the user's rights.

    Attributes:
        source: URL of the file, folder, document or API that the user named.
        workspace: URL of the workspace.
        caller: limits of a source that a caller of a server has named; nothing of it is read with
            the user's rights then. None where the user has.
    """

    source: str
    workspace: str
    caller: CallerLimits | None = None

    def __contains__(self, url: str) -> bool:
        """Return whether a URL is of these places."""
        if self.caller is not None:
            return False
        return same_origin(url, self.source) or path_below(url, self.workspace) is not None


@dataclass(frozen=True)
class Stated:
    """What others state of a file, by which its bytes are checked.

    Attributes:
        checksum: multihash, hexadecimal (STAC's `file:checksum`); None if there is none.
        size: in bytes, if stated.
    """

    checksum: str | None = None
    size: int | None = None


def absolute(place: str) -> str:
    """Return the URL of a place: a URL, or a path from the current folder."""
    return place if "://" in place else Path(os.path.normpath(Path(place).absolute())).as_uri()


def local_path(url: str) -> Path | None:
    """Return the path of a `file` URL, None of any other."""
    return local_folder(url) if urlsplit(url).scheme == "file" else None


def head(url: str, own: Own) -> ObjectMeta:
    """Return the metadata of a remote file.

    Args:
        url: of the file.
        own: places that are read with the user's rights.

    Raises:
        StorageError: it is not there, or may not be read.
    """
    store, key = _store_of(url, own)
    with explained(redacted(url), "read"):
        return store.head(key)


def read_document(url: str, own: Own, limit: int) -> bytes:
    """Return the bytes of a small file.

    Args:
        url: of the file.
        own: places that are read with the user's rights.
        limit: maximum size in bytes.

    Raises:
        StorageError: it is not there, may not be read, or is larger.
    """
    content = read_first(url, own, limit + 1)
    if len(content) > limit:
        raise StorageError(f"{redacted(url)} has more than {limit:,} bytes; name another file")
    return content


def read_first(url: str, own: Own, count: int) -> bytes:
    """Return the first bytes of a file, as many as it has.

    Args:
        url: of the file.
        own: places that are read with the user's rights.
        count: of bytes.

    Raises:
        StorageError: it is not there, or may not be read.
    """
    content = bytearray()
    with closing(_chunks(url, own, min(count, _CHUNK))) as chunks:
        for chunk in chunks:
            content += chunk
            if len(content) >= count:
                break
    return bytes(content[:count])


def fetch(url: str, own: Own, target: Path, stated: Stated) -> tuple[Path, str, int]:
    """Return a local path of a file, its sha256 (hex) and its size; a remote file is copied.

    Args:
        url: of the file.
        own: places that are read with the user's rights.
        target: path of the copy.
        stated: what the file must be like.

    Raises:
        StorageError: it is not there, may not be read, or was read in part.
        DiskFull: there is no room for the copy.
        IntegrityError: it is not as stated.
    """
    local = local_path(url)
    if local is None:
        path = target
        digests, size = _copy(url, own, target, stated)
    else:
        path = local
        digests = _Digests(stated)
        size = sum(map(digests.update, _chunks(url, own)))
    problem = digests.problem()
    if stated.size is not None and stated.size != size:
        problem = f"has {size:,} bytes, and its Item states {stated.size:,}"
    if problem:
        raise IntegrityError(
            f"{redacted(url)} {problem}; ask its provider for the file that belongs to the Item"
        )
    return path, digests.sha256, size


def _copy(url: str, own: Own, target: Path, stated: Stated) -> tuple[_Digests, int]:
    """Copy a remote file, and return its digests and size."""
    expected = head(url, own)["size"]
    if own.caller is not None and expected > own.caller.file_bytes:
        raise StorageError(
            f"{redacted(url)} has {expected:,} bytes, and at most {own.caller.file_bytes:,} are"
            " taken here; map it with 'mlops predict'"
        )
    free = shutil.disk_usage(target.parent).free
    remedy = "free space there, or set TMPDIR to another folder"
    if expected > free:
        raise DiskFull(
            f"{redacted(url)} has {expected:,} bytes, and {target.parent} has {free:,} left;"
            f" {remedy}"
        )
    digests = _Digests(stated)
    size = 0
    try:
        with target.open("wb") as stream:
            for chunk in _chunks(url, own):
                size += digests.update(chunk)
                if size > expected:
                    break
                stream.write(chunk)
    except OSError as error:
        raise DiskFull(
            f"{redacted(url)} could not be copied to {target.parent}: {error.strerror}; {remedy}"
        ) from error
    if size != expected:
        raise StorageError(
            f"{redacted(url)} has {expected:,} bytes, and {size:,} were read; try again"
        )
    return digests, size


class _Digests:
    """The sha256 of a file, and the digest that is compared with a stated one."""

    def __init__(self, stated: Stated) -> None:
        # a checksum of another function cannot be compared
        found = multihash(stated.checksum) if stated.checksum else None
        self._name = found[0] if found else "sha256"
        self._stated = found[1] if found else None
        self._sha256 = hashlib.sha256()
        self._own = self._sha256 if self._name == "sha256" else hashlib.new(self._name)

    def update(self, chunk: bytes) -> int:
        """Add bytes, and return their number."""
        self._sha256.update(chunk)
        if self._own is not self._sha256:
            self._own.update(chunk)
        return len(chunk)

    @property
    def sha256(self) -> str:
        """The sha256 (hex) of all bytes."""
        return self._sha256.hexdigest()

    def problem(self) -> str | None:
        """Return how the bytes differ from what is stated, None if they do not."""
        own = self._own.hexdigest()
        if self._stated is None or self._stated == own:
            return None
        return f"has the {self._name} {own}, and its Item states {self._stated}"


def _chunks(url: str, own: Own, size: int = _CHUNK) -> Generator[bytes]:
    """Yield the bytes of a file, local or remote, in chunks of about some size."""
    local = local_path(url)
    with explained(redacted(url), "read"):
        if local is None:
            store, key = _store_of(url, own)
            yield from map(bytes, store.get(key).stream(min_chunk_size=size))
            return
        if not local.is_file():
            what = "is not a file" if local.exists() else "is not there"
            raise StorageError(f"{local} {what}; name a raster or a STAC document")
        with local.open("rb") as stream:
            while chunk := stream.read(size):
                yield chunk


def _store_of(url: str, own: Own) -> tuple[ReadableStore, str]:
    """Return the store and the key of a remote file.

    Raises:
        StorageError: it may not be read.
    """
    parts = urlsplit(url)
    if parts.query:
        raise StorageError(
            f"{redacted(url)} is a signed or query URL, which will not last; give a plain one"
        )
    if url not in own:
        return store_outside(url)
    return _own_store(f"{parts.scheme}://{parts.netloc}"), unquote(parts.path).lstrip("/")


@lru_cache(maxsize=64)
def _own_store(base: str) -> ReadableStore:
    if urlsplit(base).scheme in WEB:
        # takes a tenth of a second
        from mlops_assets.datasets.sources.public_web import PublicWeb

        return PublicWeb(base, own=True)
    store: ReadableStore = open_object_store(base)
    return store
