"""Removal of objects and packs that nothing recorded names: the sweep of mark and sweep.

A commit or a run stores objects, or finds them there already, before it records the row that
names them. Both hold `Registry.storing` from the first to the last of that; this holds
`Registry.removing`, which waits for them and makes others wait. The invariant: while `removing` is
held, every object that anybody relies on is named by a row. So candidates, which were found without
a lock, are compared with all rows once more under it; what recognises them without reading (landed
files, the index of packs) is forgotten before their bytes are removed, so that whoever comes next
stores them anew.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import islice

from mlops_assets.paths import OBJECTS, PACKS
from mlops_assets.registry.locks import pause
from mlops_assets.storage.workspace import StoredEntry
from mlops_assets.upkeep.needed import Needed
from mlops_assets.upkeep.rules import Kind
from mlops_assets.upkeep.tally import Collection

# removed under the lock at a time: others wait for that long
_BATCH = 5_000
_LISTED = 20_000  # compared at a time
_BREATH_SECONDS = 0.5  # between batches, in which those who wait take the lock
_OBJECT = re.compile(rf"{OBJECTS}/([0-9a-f]{{2}})/([0-9a-f]{{62}})")
_PACK = re.compile(rf"{PACKS}/([0-9a-f]{{2}})/([0-9a-f]{{62}})\.zip")
_PATTERNS = {Kind.OBJECTS: _OBJECT, Kind.PACKS: _PACK}


def collect_objects(collection: Collection) -> None:
    """Find objects and packs that nothing recorded names, and remove them if that is asked for.

    Args:
        collection: counts them.

    Raises:
        Conflict: somebody was storing objects for too long; what was removed before is counted.
        IntegrityError: a manifest is not as it was published; nothing is removed.
        StorageError: a manifest is missing, or the workspace cannot be read or written.
    """
    needed = Needed(collection.store)
    for kind, folder in ((Kind.OBJECTS, OBJECTS), (Kind.PACKS, PACKS)):
        batch: list[StoredEntry] = []
        for listed in _listings(collection, folder):
            batch += _unneeded(kind, listed, needed)
            while len(batch) >= _BATCH:
                _take(collection, kind, batch[:_BATCH], needed)
                del batch[:_BATCH]
        if batch:
            _take(collection, kind, batch, needed)


def _listings(collection: Collection, folder: str) -> Iterator[list[StoredEntry]]:
    """Yield the files of a folder that are old enough, some at a time."""
    until = collection.moment - collection.rules.objects
    old = (entry for entry in collection.store.workspace.entries(folder) if entry.written <= until)
    while some := list(islice(old, _LISTED)):
        yield some


def _unneeded(kind: Kind, entries: Sequence[StoredEntry], needed: Needed) -> list[StoredEntry]:
    """Return the files that nothing names; those with other keys than we write are left."""
    ours = [entry for entry in entries if _PATTERNS[kind].fullmatch(entry.key)]
    sha256s = [_sha256(kind, entry) for entry in ours]
    if kind is Kind.PACKS:
        return [e for e, sha256 in zip(ours, sha256s, strict=True) if sha256 not in needed.packs]
    free = needed.without(sha256s)
    return [entry for entry, is_free in zip(ours, free, strict=True) if is_free]


def _take(
    collection: Collection, kind: Kind, entries: Sequence[StoredEntry], needed: Needed
) -> None:
    """Count files that were unneeded when they were listed, and remove those that still are."""
    if not collection.delete:
        collection.add(kind, entries)
        return
    registry = collection.store.registry
    with registry.removing(collection.wait):
        needed.refresh()
        still = _unneeded(kind, entries, needed)
        if not still:
            return
        sha256s = [_sha256(kind, entry) for entry in still]
        registry.forget_objects(
            collection.row(kind, still),
            objects=() if kind is Kind.PACKS else sha256s,
            packs=sha256s if kind is Kind.PACKS else (),
        )
        collection.remove(still, registry.require_locks)
    collection.add(kind, still)
    pause(_BREATH_SECONDS)


def _sha256(kind: Kind, entry: StoredEntry) -> str:
    match = _PATTERNS[kind].fullmatch(entry.key)
    return "" if match is None else match[1] + match[2]
