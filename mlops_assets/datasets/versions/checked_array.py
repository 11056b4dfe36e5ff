"""A cached array whose bytes are compared with their digests before they are used.

Each block is compared once per process. The decoded cache makes a damaged array again.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlops_assets.errors import IntegrityError

BLOCK_BYTES = 1 << 20
Scalar = TypeVar("Scalar", bound=np.generic)
_Key = tuple[str, int, int, int]
# which blocks of a file this process has checked: readers of one split share them, and so do forked
# workers
_checked: dict[_Key, NDArray[np.bool_]] = {}


def block_digests(path: Path) -> list[str]:
    """Return the sha256 of each block of a file, in order."""
    digests = []
    with path.open("rb") as stream:
        while block := stream.read(BLOCK_BYTES):
            digests.append(hashlib.sha256(block).hexdigest())
    return digests


def _key(path: Path) -> _Key:
    """Return what a file is recognised by: its path, inode, size and time of change."""
    found = path.stat()
    return str(path), found.st_ino, found.st_size, found.st_mtime_ns


class CheckedArray(Generic[Scalar]):
    """A memory-mapped `.npy` file, read-only, that is indexed by rows.

    Attributes:
        path: the file.
        shape, dtype, nbytes: of the array.
    """

    def __init__(self, path: Path, digests: list[str]) -> None:
        """Open a file; its header, which defines how the rest is read, is checked now.

        Raises:
            OSError: it does not exist.
            IntegrityError: its first block has changed, or it has not as many blocks as digests.
        """
        self.path = path
        self._digests = digests
        self._key = _key(path)
        self._done = _checked.setdefault(
            self._key, np.zeros(-(-self._key[2] // BLOCK_BYTES), dtype=bool)
        )
        if len(self._done) != len(digests) or not digests:
            raise self._damaged(0)
        self._bytes = np.asarray(np.memmap(path, dtype=np.uint8, mode="r"))
        self._check(np.array([0]))
        self._map: NDArray[Scalar] = np.load(path, mmap_mode="r", allow_pickle=False)
        self._rows = np.asarray(self._map)  # indexing np.memmap itself is slower
        self.shape = self._rows.shape
        self.dtype = self._rows.dtype
        self.nbytes = self._rows.nbytes

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def is_current(self) -> bool:
        """Whether the file at this path is still the one that was opened."""
        try:
            return _key(self.path) == self._key
        except OSError:
            return False

    def __getitem__(self, rows: int | slice | NDArray[np.int64]) -> NDArray[Scalar]:
        """Return rows as they were decoded.

        Args:
            rows: position, slice, or int64 positions of shape (n,).

        Raises:
            IntegrityError: a block with one of them has changed.
        """
        if not self._whole:
            chosen = (
                np.arange(*rows.indices(len(self)))
                if isinstance(rows, slice)
                else np.atleast_1d(rows)
            )
            self._check(self._blocks(chosen))
        found: NDArray[Scalar] = self._rows[rows]
        return found

    def whole(self) -> NDArray[Scalar]:
        """Return the memory map itself, all of it checked.

        Raises:
            IntegrityError: a block has changed.
        """
        self._check(np.arange(len(self._digests)))
        return self._map

    def _blocks(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the blocks that hold rows, each once."""
        width = self.nbytes // max(len(self), 1)
        starts = len(self._bytes) - self.nbytes + rows % max(len(self), 1) * width
        firsts, lasts = starts // BLOCK_BYTES, np.maximum(starts + width - 1, starts) // BLOCK_BYTES
        longest = int((lasts - firsts).max(initial=0))
        blocks = np.minimum(firsts[:, None] + np.arange(longest + 1), lasts[:, None])
        return np.unique(blocks)

    def _check(self, blocks: NDArray[np.int64]) -> None:
        for block in blocks[~self._done[blocks]].tolist():
            content = self._bytes[block * BLOCK_BYTES : (block + 1) * BLOCK_BYTES]
            if hashlib.sha256(content.data).hexdigest() != self._digests[block]:
                raise self._damaged(block)
            self._done[block] = True
        self._whole = bool(self._done.all())

    def _damaged(self, block: int) -> IntegrityError:
        with suppress(OSError):  # of a folder that cannot be written
            self.path.unlink()
        return IntegrityError(
            f"{self.path} is not as it was decoded: its {BLOCK_BYTES >> 20} MiB block {block} has"
            " changed; it was removed from the cache; run again to decode it"
        )
