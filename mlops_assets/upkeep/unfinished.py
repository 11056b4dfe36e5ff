"""Removal of what unfinished work has left: parts of maps, values of steps, staged files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from datetime import datetime

from mlops_assets.paths import PARTS, STAGED, STEPS
from mlops_assets.registry.files.publication import remove_abandoned
from mlops_assets.storage.workspace import StoredEntry
from mlops_assets.upkeep import tally
from mlops_assets.upkeep.rules import Kind


def collect_parts(collection: tally.Collection) -> None:
    """Find the parts of maps that nobody has continued for long, and remove them if asked to.

    Whoever continues a map touches its parts first, see `Parts.touch`, and holds
    `Registry.storing` meanwhile: under `Registry.removing` they are as old as they are listed.

    Args:
        collection: counts them.
    """
    store, until = collection.store, collection.moment - collection.rules.parts

    def remove(folder: str) -> bool:
        with store.registry.removing(collection.wait):
            entries = list(store.workspace.entries(folder))
            if not entries or _newest(entries) > until:
                return False
            store.registry.record_removal(collection.row(Kind.PARTS, entries))
            collection.remove(entries, store.registry.require_locks)
            store.workspace.remove_folder(folder)
        return True

    _collect(collection, Kind.PARTS, _old_folders(collection, PARTS, until), remove)


def collect_steps(collection: tally.Collection, running: Collection[str]) -> None:
    """Find what steps of runs that ended long ago have handed on, and remove it if asked to.

    Args:
        collection: counts it.
        running: ids of Dagster's runs that have not ended, and of those that they continue.
    """
    store, until = collection.store, collection.moment - collection.rules.steps

    def remove(folder: str) -> bool:
        entries = list(store.workspace.entries(folder))
        store.registry.record_removal(collection.row(Kind.STEPS, entries))
        collection.remove(entries, None)
        store.workspace.remove_folder(folder)
        return True

    folders = (
        (folder, entries)
        for folder, entries in _old_folders(collection, STEPS, until)
        if folder.rpartition("/")[2] not in running
    )
    _collect(collection, Kind.STEPS, folders, remove)


def collect_staged(collection: tally.Collection) -> None:
    """Find staged files of processes that were killed before they published them.

    The next publication removes them, too; here it is done where nothing is published for long.

    Args:
        collection: counts them.
    """
    store, until = collection.store, collection.moment - collection.rules.objects
    recorded = set(store.registry.staged().values())
    old = [
        entry
        for entry in store.workspace.entries(STAGED)
        if entry.key not in recorded and entry.written <= until
    ]
    if not old:
        return
    if collection.delete:
        store.registry.record_removal(collection.row(Kind.STAGED, old))
        keys = set(remove_abandoned(store.workspace, store.registry))
        old = [entry for entry in old if entry.key in keys]
    collection.add(Kind.STAGED, old)


def _old_folders(
    collection: tally.Collection, parent: str, until: datetime
) -> Iterator[tuple[str, list[StoredEntry]]]:
    """Yield the folders below one in which nothing was written for long, with their files."""
    files: defaultdict[str, list[StoredEntry]] = defaultdict(list)
    for entry in collection.store.workspace.entries(parent):
        files["/".join(entry.key.split("/")[:2])].append(entry)
    for folder, entries in sorted(files.items()):
        if _newest(entries) <= until:
            yield folder, entries


def _newest(entries: list[StoredEntry]) -> datetime:
    return max(entry.written for entry in entries)


def _collect(
    collection: tally.Collection,
    kind: Kind,
    folders: Iterator[tuple[str, list[StoredEntry]]],
    remove: Callable[[str], bool],
) -> None:
    for folder, entries in folders:
        if not collection.delete or remove(folder):
            collection.add(kind, entries)
