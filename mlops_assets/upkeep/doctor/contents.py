"""Checks of what a workspace holds beyond what is published."""

from __future__ import annotations

from collections.abc import Iterator

from mlops_assets.paths import LOG_SEGMENT, PARTS, PUBLISHED, RUNS
from mlops_assets.store import Store
from mlops_assets.upkeep.doctor.finding import Finding


def examine_files(store: Store) -> Iterator[Finding]:
    """Yield files that were never published, and maps that are not finished.

    Args:
        store: the workspace and its registry.

    Raises:
        StorageError: one of them cannot be read.
    """
    unknown = _orphans(store)
    left = (
        f"{len(unknown)} file(s) were never published, e.g. {(unknown or [''])[0]}; remove them if"
        " nothing is running"
    )
    yield Finding(
        "files", not unknown, left if unknown else "every file in the workspace is published"
    )
    unfinished = sorted({key.split("/")[1] for key in store.workspace.list(PARTS)})
    parts = (
        f"{len(unfinished)} map(s) are not finished, e.g. {PARTS}/{(unfinished or [''])[0]}; run"
        " the same command again, or remove their parts if nothing is running"
    )
    yield Finding("maps", True, parts if unfinished else "no map is unfinished")


def _orphans(store: Store) -> list[str]:
    published = {file.path for file in store.registry.files()}
    unknown = {
        key
        for folder in PUBLISHED
        for key in store.workspace.list(folder)
        if key not in published and not LOG_SEGMENT.fullmatch(key)
    }
    # checkpoints are recorded with their run, and replaced while it trains
    for run_id in {key.split("/")[1] for key in unknown if key.startswith(f"{RUNS}/")}:
        unknown -= {row.path for row in store.registry.checkpoints(run_id)}
    return sorted(unknown)
