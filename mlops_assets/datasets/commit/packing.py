"""Packs of a commit: filled in the order of its files, and stored while it reads on.

The order makes the packs of an interrupted commit those of the next one, which finds them stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import NamedTuple

from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.storage.packs import PACK_BYTES, Pack, Place

MANY = 32  # objects that make a pack; fewer are stored one by one
# packs that are stored while the next is filled, in a folder and in a bucket; bounds the memory
_AT_ONCE_IN_FOLDER = 1
_AT_ONCE_IN_BUCKET = 2


class PlacedFile(NamedTuple):
    """A file whose bytes are in the workspace: its number, their sha256 (hex), their place.

    The place is None for a single object.
    """

    number: int
    sha256: str
    place: Place | None


@dataclass
class _Filled:
    """A pack that takes objects or has them, and the files (number, checksum) with their bytes."""

    pack: Pack | None = field(default_factory=Pack)
    first: dict[str, bytes] = field(default_factory=dict)
    files: list[tuple[int, str]] = field(default_factory=list)
    sent: Future[dict[str, Place]] | None = None
    places: Mapping[str, Place] = field(default_factory=dict)


class Packing:
    """Fills packs with new objects, and stores them."""

    def __init__(
        self,
        workspace: Workspace,
        registry: Registry,
        pool: ThreadPoolExecutor,
        stored: Callable[[Sequence[PlacedFile]], None],
    ) -> None:
        """Begin without any pack.

        Args:
            workspace: where packs are stored.
            registry: has the index of their objects.
            pool: stores them.
            stored: is called with files whose bytes have been stored, by the calling thread.
        """
        self._workspace = workspace
        self._at_once = _AT_ONCE_IN_FOLDER if workspace.is_local else _AT_ONCE_IN_BUCKET
        self._registry = registry
        self._pool = pool
        self._stored = stored
        # those that were not in the index when it was last asked; the last is being filled
        self._recent: list[_Filled] = [_Filled()]
        self._again: list[PlacedFile] = []  # files with bytes of packs that are stored already

    def index_stored(self) -> None:
        """Put the packs that have been stored by now into the index, and free their memory.

        Call it before the index is asked for objects that are then added.

        Raises:
            StorageError: one of them could not be stored.
        """
        for filled in self._recent:
            if filled.sent and filled.pack is not None and filled.sent.done():
                self._settle(filled)
        self._recent = [filled for filled in self._recent if filled.pack is not None]

    def add(self, number: int, sha256: str, content: bytes) -> None:
        """Add an object that was not in the index; each is packed once.

        Args:
            number: of the file that has these bytes.
            sha256: their checksum.
            content: the bytes.

        Raises:
            StorageError: an earlier pack could not be stored.
        """
        for other in self._recent:
            if sha256 in other.places:
                self._again.append(PlacedFile(number, sha256, other.places[sha256]))
                return
            if other.pack is not None and sha256 in other.pack.offsets:
                other.files.append((number, sha256))
                return
        filled = self._recent[-1]
        assert filled.pack is not None
        filled.pack.add(sha256, content)
        filled.files.append((number, sha256))
        if len(filled.first) < MANY:
            filled.first[sha256] = content
        if filled.pack.size >= PACK_BYTES:
            self._send(filled)
            self._recent.append(_Filled())

    def finish(self) -> None:
        """Store what has not been stored yet.

        Raises:
            StorageError: something could not be stored.
        """
        last = self._recent[-1]
        few = len(last.first) < MANY
        if not few:
            self._send(last)
        for filled in self._recent:
            if filled.sent and filled.pack is not None:
                self._settle(filled)
        if few:
            for _ in self._pool.map(self._workspace.put_object, last.first.values()):
                pass
            self._stored([PlacedFile(number, sha256, None) for number, sha256 in last.files])
        self._stored(self._again)

    def close(self) -> None:
        """Give up what has not been stored."""
        for filled in self._recent:
            if filled.pack is not None:
                filled.pack.close()

    def _send(self, filled: _Filled) -> None:
        """Begin to store a pack, once few enough are being stored."""
        assert filled.pack is not None
        under_way = [other for other in self._recent if other.sent and other.pack is not None]
        for other in under_way[: len(under_way) + 1 - self._at_once]:
            self._settle(other)
        filled.sent = self._pool.submit(self._workspace.put_pack, filled.pack)
        filled.first.clear()

    def _settle(self, filled: _Filled) -> None:
        """Wait until a pack is stored; only then is it in the index."""
        assert filled.sent is not None
        places = filled.sent.result()
        filled.places = places
        filled.pack = None
        self._registry.remember_packed(places)
        self._stored(
            [PlacedFile(number, sha256, places[sha256]) for number, sha256 in filled.files]
        )
        filled.files = []
