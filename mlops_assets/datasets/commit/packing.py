"""Packs of a commit: filled in the order of its files, and stored while it reads on.

The order makes the packs of an interrupted commit those of the next one, which finds them stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
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
class _Filling:
    """A pack that takes objects, those of its objects that come first, and its files.

    A file is number and checksum.
    """

    pack: Pack = field(default_factory=Pack)
    first: dict[str, bytes] = field(default_factory=dict)
    files: list[tuple[int, str]] = field(default_factory=list)


class _Sent(NamedTuple):
    """A pack that is being stored, and the files with its objects."""

    pack: Pack
    files: list[tuple[int, str]]
    places: Future[dict[str, Place]]


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
        self._filling = _Filling()
        self._sent: list[_Sent] = []
        self._places: dict[str, Place] = {}  # in the index since it was last asked
        self._again: list[PlacedFile] = []  # files with bytes of packs that are stored already

    def index_stored(self) -> None:
        """Put the packs that have been stored by now into the index, and free their memory.

        Call it before the index is asked for objects that are then added.

        Raises:
            StorageError: one of them could not be stored.
        """
        while self._sent and self._sent[0].places.done():
            self._settle()
        self._places.clear()

    def add(self, number: int, sha256: str, content: bytes) -> None:
        """Add an object that was not in the index; each is packed once.

        Args:
            number: of the file that has these bytes.
            sha256: their checksum.
            content: the bytes.

        Raises:
            StorageError: an earlier pack could not be stored.
        """
        if sha256 in self._places:
            self._again.append(PlacedFile(number, sha256, self._places[sha256]))
            return
        for sent in self._sent:
            if sha256 in sent.pack.offsets:
                sent.files.append((number, sha256))
                return
        filling = self._filling
        filling.files.append((number, sha256))
        if sha256 in filling.pack.offsets:
            return
        filling.pack.add(sha256, content)
        if len(filling.first) < MANY:
            filling.first[sha256] = content
        if filling.pack.size >= PACK_BYTES:
            self._send()

    def finish(self) -> None:
        """Store what has not been stored yet.

        Raises:
            StorageError: something could not be stored.
        """
        last = self._filling
        few = len(last.first) < MANY
        if not few:
            self._send()
        while self._sent:
            self._settle()
        if few:
            for _ in self._pool.map(self._workspace.put_object, last.first.values()):
                pass
            self._stored([PlacedFile(number, sha256, None) for number, sha256 in last.files])
        self._stored(self._again)

    def close(self) -> None:
        """Give up what has not been stored."""
        for pack in (self._filling.pack, *(sent.pack for sent in self._sent)):
            pack.close()

    def _send(self) -> None:
        """Begin to store the pack that is being filled, once few enough are being stored."""
        while len(self._sent) >= self._at_once:
            self._settle()
        filled, self._filling = self._filling, _Filling()
        places = self._pool.submit(self._workspace.put_pack, filled.pack)
        self._sent.append(_Sent(filled.pack, filled.files, places))

    def _settle(self) -> None:
        """Wait until the first pack is stored; only then is it in the index."""
        sent = self._sent[0]
        places = sent.places.result()
        self._registry.remember_packed(places)
        self._places |= places
        del self._sent[0]
        self._stored([PlacedFile(number, sha256, places[sha256]) for number, sha256 in sent.files])
