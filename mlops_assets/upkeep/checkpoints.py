"""Removal of the checkpoints of runs that are not resumed any more."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from mlops_assets.paths import CHECKPOINT, RUNS, checkpoints_folder
from mlops_assets.registry import Run
from mlops_assets.registry.files.removals import has_ended
from mlops_assets.storage.workspace import StoredEntry
from mlops_assets.training.resume import STARTING
from mlops_assets.upkeep.rules import Kind
from mlops_assets.upkeep.tally import Collection

_NEVER_RESUMED = ("succeeded", "pruned")


def collect_checkpoints(collection: Collection) -> None:
    """Find the checkpoints of runs that ended long ago, and remove them if that is asked for.

    A run that starts or resumes reads its checkpoints under the lock of runs that start. Under it
    they are removed, row and bytes, if the run still has ended as long ago as the rules demand: so
    it resumes from a checkpoint that is there, or starts from the beginning.

    Args:
        collection: counts them.
    """
    store = collection.store
    files: defaultdict[str, list[StoredEntry]] = defaultdict(list)
    for entry in store.workspace.entries(RUNS):
        if CHECKPOINT.fullmatch(entry.key):
            files[entry.key.split("/")[1]].append(entry)
    runs = {run.run_id: run for run in store.registry.unrestricted().runs()} if files else {}
    for run_id, entries in sorted(files.items()):
        until = _until(collection, runs.get(run_id))
        if not _ended(runs.get(run_id), entries, until):
            continue
        if collection.delete and not _remove(collection, run_id, until):
            continue
        collection.add(Kind.CHECKPOINTS, entries)


def _until(collection: Collection, run: Run | None) -> datetime:
    rules = collection.rules
    resumes = run is None or run.status not in _NEVER_RESUMED
    return collection.moment - (rules.unfinished if resumes else rules.succeeded)


def _ended(run: Run | None, entries: list[StoredEntry], until: datetime) -> bool:
    """Return whether a run has ended before; of an unknown run, whether its files are as old."""
    if run is None:
        return max(entry.written for entry in entries) <= until
    return has_ended(run, until)


def _remove(collection: Collection, run_id: str, until: datetime) -> bool:
    store = collection.store
    with store.registry.lock(STARTING):
        # as they are now: it may have been resumed, and have ended, since they were listed
        entries = list(store.workspace.entries(checkpoints_folder(run_id)))
        row = collection.row(Kind.CHECKPOINTS, entries)
        if not store.registry.remove_checkpoints(row, run_id, until):
            return False
        collection.remove(entries, store.registry.require_locks)
    return True
