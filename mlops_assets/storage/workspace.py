"""One workspace on an object store: keys in, bytes out, through obstore.

Nothing here knows what a data version or a model is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import obstore
from filelock import FileLock, Timeout
from obstore.exceptions import BaseError as ObstoreError
from obstore.store import LocalStore

from mlops_assets.errors import Conflict, StorageError

LOCK_TIMEOUT_SECONDS = 600.0  # as long as the longest freeze we expect another process to hold a dataset
_CHUNK = 1 << 20


@dataclass(frozen=True)
class FileStat:
    """A stored file as published: its key in the workspace, sha256 (hex) and size in bytes."""

    path: str
    sha256: str
    size: int


def sha256_of(source: Path | bytes) -> str:
    """Return the sha256 of a local file or of bytes, as 64 hex digits.

    Raises:
        StorageError: the file cannot be read.
    """
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest()
    try:
        with source.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError as error:
        raise StorageError(f"could not read {source}: {error.strerror}; check the file and try again") from error


class Workspace:
    """A workspace: a tree of keys under one URL."""

    def __init__(self, url: str) -> None:
        """Open the workspace at `url` (`file:///…`), making its folder if it is missing.

        Raises:
            StorageError: the folder cannot be made or is not a folder.
        """
        self.url = url.rstrip("/")
        self.root = Path(unquote(urlsplit(url).path))
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            self._store = LocalStore(prefix=self.root)
        except (OSError, ObstoreError) as error:
            raise StorageError(f"workspace {url} cannot be opened: {error}; choose another MLOPS_WORKSPACE") from error

    def put(self, key: str, content: bytes | Path) -> FileStat:
        """Write one file atomically: readers see the old content, then the new one, never a part.

        Raises:
            StorageError: it could not be written (disk full, no permission, source gone).
        """
        digest = sha256_of(content)
        try:
            obstore.put(self._store, key, content)
        except (OSError, ValueError, ObstoreError) as error:
            raise StorageError(
                f"could not write {key} to {self.url}: {_cause(error)}; free space or mend permissions and run it again"
            ) from error
        size = len(content) if isinstance(content, bytes) else content.stat().st_size
        return FileStat(key, digest, size)

    def get(self, key: str) -> bytes:
        """Return the content of one file.

        Raises:
            StorageError: it is not there or cannot be read.
        """
        try:
            return bytes(obstore.get(self._store, key).bytes())
        except (OSError, ObstoreError) as error:
            raise self._missing(key, error) from error

    def stat(self, key: str) -> FileStat:
        """Re-read one file and return what it is now.

        Raises:
            StorageError: it is not there or cannot be read.
        """
        digest, size = hashlib.sha256(), 0
        try:
            for chunk in obstore.get(self._store, key).stream(min_chunk_size=_CHUNK):
                digest.update(chunk)
                size += len(chunk)
        except (OSError, ObstoreError) as error:
            raise self._missing(key, error) from error
        return FileStat(key, digest.hexdigest(), size)

    def exists(self, key: str) -> bool:
        """Say whether a file is there."""
        try:
            obstore.head(self._store, key)
        except FileNotFoundError:
            return False
        except (OSError, ObstoreError) as error:
            raise self._missing(key, error) from error
        return True

    def list(self, prefix: str) -> Iterator[str]:
        """Yield the keys under a folder, in no order."""
        for page in obstore.list(self._store, prefix.rstrip("/") or None):
            for entry in page:
                yield entry["path"]

    def local_path(self, key: str) -> Path:
        """Return a readable local path of one file (for rasterio, onnxruntime and other native readers).

        Raises:
            StorageError: it is not there.
        """
        path = self.root / key
        if not path.is_file():
            raise StorageError(f"{key} is missing from {self.url}; restore it from a backup, or freeze or train again")
        return path

    def put_object(self, content: bytes | Path) -> FileStat:
        """Store bytes once under their own checksum; a second call with the same bytes writes nothing."""
        digest = sha256_of(content)
        key = object_key(digest)
        if self.exists(key) and self.stat(key).sha256 == digest:  # a damaged object is mended by storing it again
            size = len(content) if isinstance(content, bytes) else content.stat().st_size
            return FileStat(key, digest, size)
        self.put(key, content)
        stored = self.stat(key)
        if stored.sha256 != digest:
            obstore.delete(self._store, key)
            raise StorageError(f"{content!r} changed while it was being stored; wait until it is settled and try again")
        return stored

    @contextmanager
    def lock(self, name: str, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
        """Hold a named lock; the operating system releases it when the process dies.

        Raises:
            Conflict: another process held it all the time.
        """
        folder = self.root / "locks"
        folder.mkdir(exist_ok=True)
        try:
            with FileLock(folder / f"{name}.lock", timeout=timeout):
                yield
        except Timeout as error:
            raise Conflict(f"another process is writing {name}; wait until it is done and try again") from error

    def _missing(self, key: str, error: Exception) -> StorageError:
        if isinstance(error, FileNotFoundError):
            return StorageError(f"{key} is missing from {self.url}; restore it from a backup, or freeze or train again")
        return StorageError(f"could not read {key} from {self.url}: {_cause(error)}")


def object_key(sha256: str) -> str:
    """Return where the object with this checksum lies."""
    return f"objects/sha256/{sha256[:2]}/{sha256[2:]}"


def _cause(error: Exception) -> str:
    """The first line of a nested obstore message; the rest is a debug dump."""
    return str(error).strip().splitlines()[0]
