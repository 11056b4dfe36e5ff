"""Runs of Dagster by what people call them."""

from __future__ import annotations

import dagster as dg

from mlops_assets.errors import Conflict, NotFound
from mlops_assets.registry import Registry

# newest ones, among which the beginning of an id is looked for
MAX_RUNS = 2000


def find_run(instance: dg.DagsterInstance, registry: Registry, text: str) -> dg.DagsterRun:
    """Return a run of Dagster.

    Args:
        instance: the Dagster instance.
        registry: has the training runs.
        text: its id, or the beginning of it; or those of the training run that it executes.

    Raises:
        NotFound: there is none.
        Conflict: several begin like that.
    """
    exact = instance.get_run_by_id(text)
    if exact is not None:
        return exact
    ids = [run.run_id for run in instance.get_runs(limit=MAX_RUNS) if run.run_id.startswith(text)]
    if len(ids) > 1:
        raise Conflict(f"{len(ids)} runs of Dagster begin with {text!r}; write more of the id")
    if not ids:
        try:
            ids = [registry.run(text).orchestration_run or ""]
        except NotFound:
            ids = [""]
    found = instance.get_run_by_id(ids[0]) if ids[0] else None
    if found is None:
        raise NotFound(
            f"neither Dagster's newest {MAX_RUNS} runs nor the training runs of the registry have"
            f" one that begins with {text!r}; 'mlops run list' lists trainings"
        )
    return found
