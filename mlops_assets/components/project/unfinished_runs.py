"""Dagster's runs that have not ended, with those that they continue."""

import dagster as dg
from dagster._core.storage.dagster_run import NOT_FINISHED_STATUSES


def unfinished_runs(instance: dg.DagsterInstance) -> frozenset[str]:
    """Return the ids of runs that have not ended, and of the runs that they continue.

    Args:
        instance: of Dagster.
    """
    filters = dg.RunsFilter(statuses=list(NOT_FINISHED_STATUSES))
    found: set[str] = set()
    for unfinished in instance.get_runs(filters):
        run: dg.DagsterRun | None = unfinished
        while run is not None and run.run_id not in found:
            found.add(run.run_id)
            parent = run.parent_run_id
            run = None if parent is None else instance.get_run_by_id(parent)
    return frozenset(found)
