"""SHA-256 of files and bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mlops_assets.errors import StorageError

_CHUNK = 8 << 20


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
        raise StorageError(
            f"could not read {source}: {error.strerror}; check the file and try again"
        ) from error


class HashedFile:
    """A file that is hashed as it is read, in the form obstore uploads from.

    Attributes:
        path: of the file.
        size: in bytes, of what has been read so far.
    """

    def __init__(self, path: Path) -> None:
        """Take a file; nothing is read yet."""
        self.path = path
        self.size = 0
        self._digest = hashlib.sha256()

    def __iter__(self) -> Iterator[bytes]:
        """Yield the bytes of the file."""
        with self.path.open("rb") as stream:
            while chunk := stream.read(_CHUNK):
                self._digest.update(chunk)
                self.size += len(chunk)
                yield chunk

    def hexdigest(self) -> str:
        """Return the sha256 (hex) of what has been read so far."""
        return self._digest.hexdigest()
