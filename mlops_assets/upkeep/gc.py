"""Garbage collection: files of a workspace that nothing needs any more are found, and removed.

Published files, the log, landings, logged requests and caches are never touched.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from datetime import UTC, datetime

from mlops_assets.principals import Role
from mlops_assets.registry.files.publication import complete_publications
from mlops_assets.registry.locks import LOCK_TIMEOUT_SECONDS
from mlops_assets.store import Store
from mlops_assets.upkeep import tally
from mlops_assets.upkeep.checkpoints import collect_checkpoints
from mlops_assets.upkeep.objects import collect_objects
from mlops_assets.upkeep.rules import Rules
from mlops_assets.upkeep.unfinished import collect_parts, collect_staged, collect_steps


def collect(
    store: Store,
    rules: Rules,
    running: Collection[str] | None,
    delete: bool = False,
    wait: float = LOCK_TIMEOUT_SECONDS,
    listed: Callable[[str], None] | None = None,
) -> list[tally.Tally]:
    """Find the files that nothing needs, and remove them if that is asked for.

    It may be killed at any moment and run again. What is removed is in the log first: how much, and
    the digest of the keys.

    Args:
        store: workspace and registry.
        rules: how long files are kept nevertheless.
        running: ids of Dagster's runs that have not ended, and of those that they continue; None if
            they are unknown, and values of steps are left.
        delete: remove them; else they are counted only.
        wait: seconds to wait for commits and runs that are storing objects.
        listed: is called with the key of every such file.

    Returns:
        What was found, or removed, by kind.

    Raises:
        Conflict: a commit was storing objects for too long.
        Forbidden: the principal is not an operator.
        IntegrityError: a manifest is not as it was published, so that what it names is unknown;
            nothing was removed.
        StorageError: the workspace or the registry cannot be read or written.
    """
    store.registry.principal.require(Role.OPERATOR, "collect unneeded files")
    if delete:
        complete_publications(store.workspace, store.registry)
    found = tally.Collection(store, rules, datetime.now(UTC), delete, wait, listed)
    collect_checkpoints(found)
    collect_parts(found)
    if running is not None:
        collect_steps(found, running)
    collect_staged(found)
    collect_objects(found)
    return list(found.tallies.values())
