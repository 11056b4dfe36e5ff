"""Objects in packs, compared with what they have to be: each pack is read once, as a whole."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from mlops_assets.errors import StorageError
from mlops_assets.paths import pack_key
from mlops_assets.progress import step
from mlops_assets.storage import Workspace, sha256_of
from mlops_assets.storage.packs import Place
from mlops_assets.storage.stores import is_missing

_AT_ONCE = 2  # packs in memory


def damaged_objects(workspace: Workspace, objects: Iterable[tuple[str, int, Place]]) -> set[str]:
    """Return the checksums of objects that are missing from their packs, or have other bytes there.

    Args:
        workspace: where the packs are.
        objects: sha256 (hex), size in bytes and place of each.

    Raises:
        StorageError: a pack that is there cannot be read.
    """
    packs: dict[str, list[tuple[str, int, int]]] = {}
    for sha256, size, place in objects:
        packs.setdefault(place.pack, []).append((sha256, place.offset, size))
    damaged: set[str] = set()
    with (
        step("comparing packs", len(packs), "packs") as done,
        ThreadPoolExecutor(_AT_ONCE) as pool,
    ):

        def compare(pack: str) -> list[str]:
            try:
                content = workspace.get(pack_key(pack))
            except StorageError as error:
                if not is_missing(error.__cause__):
                    raise
                content = b""
            done.advance(size=len(content))
            return [
                sha256
                for sha256, offset, size in packs[pack]
                if sha256_of(content[offset : offset + size]) != sha256
            ]

        for found in pool.map(compare, packs):
            damaged.update(found)
    return damaged
