"""The objects that files of a listing are stored as, in columns: 45 bytes a file.

How files are recognised and stored is in `commit.ingest`.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from mlops_assets.datasets.sources.listing import Listing
from mlops_assets.storage.packs import Place

if TYPE_CHECKING:
    import pandas as pd

_BYTES = 32  # of a SHA-256
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), np.uint16)


class StoredObjects:
    """SHA-256 and place of files by their positions in a listing; those of some are unknown.

    Attributes:
        count: number of files whose objects are known.
    """

    def __init__(self, files: int = 0) -> None:
        """Begin with so many files, of which nothing is known."""
        self.count = 0
        self._is_known = bytearray(files)
        self._sha256 = bytearray(_BYTES * files)
        self._packs: dict[str, int] = {}
        self._names: list[str] = []
        self._pack = array("i", [-1]) * files
        self._offset = array("q", [0]) * files

    def __contains__(self, position: int) -> bool:
        """Return whether the object of a file is known."""
        return bool(self.count and self._is_known[position])

    def put(self, position: int, sha256: str, place: Place | None) -> None:
        """Note the object of a file: its checksum (hex), and its place if it is in a pack."""
        if not self._is_known[position]:
            self._is_known[position] = 1
            self.count += 1
        self._sha256[position * _BYTES : (position + 1) * _BYTES] = bytes.fromhex(sha256)
        if place is None:
            self._pack[position] = -1
            return
        number = self._packs.setdefault(place.pack, len(self._packs))
        if number == len(self._names):
            self._names.append(place.pack)
        self._pack[position] = number
        self._offset[position] = place.offset

    def sha256(self, position: int) -> str | None:
        """Return the checksum (hex) of a file, None if it is unknown."""
        if position not in self:
            return None
        return self._sha256[position * _BYTES : (position + 1) * _BYTES].hex()

    def place(self, position: int) -> Place | None:
        """Return the place of a file in a pack, None if it is in none."""
        if position not in self or self._pack[position] < 0:
            return None
        return Place(self._names[self._pack[position]], self._offset[position])

    def missing(self) -> list[int]:
        """Return the positions of the files whose objects are unknown."""
        return np.flatnonzero(np.frombuffer(self._is_known, np.uint8) == 0).tolist()

    def same(self, files: Listing, paths: pa.Array, sha256s: pa.Array) -> NDArray[np.bool_]:
        """Return which paths are those of files whose objects have these checksums.

        Args:
            files: the listing.
            paths: some paths, in order.
            sha256s: a checksum (hex) each.
        """
        if not self.count or not len(paths):
            return np.zeros(len(paths), dtype=bool)
        first = bisect_left(files.paths, paths[0].as_py())
        end = max(first, bisect_right(files.paths, paths[-1].as_py()))
        listed = pa.array(files.paths[first:end], paths.type)
        own = self._texts(first, end).take(pc.index_in(paths, value_set=listed))
        equal = pc.fill_null(pc.equal(own, sha256s.cast(own.type)), False)
        return np.asarray(equal.to_numpy(zero_copy_only=False), dtype=bool)

    def frame(self) -> pd.DataFrame:
        """Return the columns sha256, pack (categorical) and offset of all files."""
        import pandas as pd

        frame: pd.DataFrame = pa.table({"sha256": self._texts(0, len(self._is_known))}).to_pandas()
        codes = np.frombuffer(self._pack, np.int32)
        frame["pack"] = pd.Categorical.from_codes(codes, pd.Index(self._names, dtype="str"))
        frame["offset"] = pd.arrays.IntegerArray(
            np.frombuffer(self._offset, np.int64).copy(), codes < 0
        )
        return frame

    def _texts(self, first: int, end: int) -> pa.Array:
        """Return checksums as text, null where unknown, without a Python object each."""
        numbers = np.frombuffer(self._sha256, np.uint8)[first * _BYTES : end * _BYTES]
        ends = np.arange(0, (end - first + 1) * 2 * _BYTES, 2 * _BYTES, dtype=np.int64)
        texts = pa.LargeStringArray.from_buffers(
            end - first, pa.py_buffer(ends), pa.py_buffer(_HEX[numbers])
        )
        known = np.frombuffer(self._is_known, np.bool_)[first:end]
        return texts if known.all() else pc.if_else(pa.array(known), texts, None)
