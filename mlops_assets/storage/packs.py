"""Packs: many small objects as one file, a ZIP that stores its entries uncompressed.

An entry is named by the sha256 of its bytes, a pack by that of its own. Anything that reads ZIP
files opens one, and whoever knows where an entry begins reads it alone, by a range of bytes.
Nothing here reads or writes a workspace.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from typing import NamedTuple

# bytes below which objects are packed: in a bucket those whose request costs more than their bytes;
# in a folder those that are made slower than they are read, others are linked to (decision 0034)
PACK_BELOW_IN_BUCKET = 256 << 10
PACK_BELOW_IN_FOLDER = 16 << 10
PACK_BYTES = 64 << 20  # from which on a pack takes no more: one request, and fits into memory
_FILE = 0o100644 << 16  # mode of a regular file, as unzip restores it
_UNIX = 3
HEADER = 30 + 64  # bytes before those of an entry: of ZIP, and its name


class Place(NamedTuple):
    """Where the bytes of an object are in a pack.

    Attributes:
        pack: sha256 (hex) of the pack.
        offset: of the first byte, from the beginning of the pack.
    """

    pack: str
    offset: int


class Pack:
    """A pack in memory. The same entries in the same order give the same bytes anywhere."""

    def __init__(self) -> None:
        self.offsets: dict[str, int] = {}
        self._buffer = io.BytesIO()
        self._zip = zipfile.ZipFile(self._buffer, "w", zipfile.ZIP_STORED)

    @property
    def size(self) -> int:
        """Bytes that it has so far."""
        return self._buffer.tell()

    def add(self, sha256: str, content: bytes) -> None:
        """Add an object; one that it has is left as it is.

        Args:
            sha256: checksum of the content, as 64 hexadecimal digits.
            content: the bytes.
        """
        if sha256 in self.offsets:
            return
        # the time is that of a ZipInfo without one, 1980-01-01
        entry = zipfile.ZipInfo(sha256)
        entry.create_system = _UNIX
        entry.external_attr = _FILE
        self._zip.writestr(entry, content)
        self.offsets[sha256] = entry.header_offset + HEADER

    def close(self) -> None:
        """Complete the pack, which then takes no more entries."""
        self._zip.close()

    def content(self) -> memoryview:
        """Complete the pack, and return its bytes."""
        self.close()
        return self._buffer.getbuffer()

    def sha256(self) -> str:
        """Complete the pack, and return its checksum (hex)."""
        return hashlib.sha256(self.content()).hexdigest()


def whole_entries(content: bytes) -> dict[int, tuple[str, int]]:
    """Return sha256 (hex) and size of the entries of a pack that are whole, by offset.

    Args:
        content: of a pack, perhaps damaged; there are none if its directory cannot be read.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as file:
            listed = file.infolist()
    except (zipfile.BadZipFile, ValueError, OSError, NotImplementedError):
        return {}
    found = {info.header_offset + HEADER: (info.filename, info.file_size) for info in listed}
    return {
        offset: (sha256, size)
        for offset, (sha256, size) in found.items()
        if hashlib.sha256(content[offset : offset + size]).hexdigest() == sha256
    }
