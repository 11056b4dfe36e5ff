"""SHA-256 of files and bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mlops_assets.errors import StorageError

_CHUNK = 8 << 20
MULTIHASH_SHA256 = "1220"  # before the sha256 (hex) in STAC's `file:checksum`
# code of a multihash → function, as hashlib calls it; https://github.com/multiformats/multicodec
HASHES = {
    b"\x11": "sha1",
    b"\x12": "sha256",
    b"\x13": "sha512",
    b"\x14": "sha3_512",
    b"\x16": "sha3_256",
    b"\xd5\x01": "md5",
}


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


def multihash(checksum: str) -> tuple[str, str] | None:
    """Return the function, as hashlib calls it, and the digest (hex) of a multihash.

    Args:
        checksum: multihash in hexadecimal digits, as STAC's `file:checksum`.

    Returns:
        None if it is not one of `HASHES`.
    """
    try:
        content = bytes.fromhex(checksum)
    except ValueError:
        return None
    code = next((code for code in HASHES if content.startswith(code)), b"")
    digest = content[len(code) + 1 :]
    if not code or not digest or content[len(code)] != len(digest):
        return None
    return HASHES[code], digest.hex()


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
