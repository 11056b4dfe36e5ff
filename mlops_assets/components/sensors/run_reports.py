"""The newest Dagster run of an asset, in the words of a tick.

The state of a request is that of its newest run, whoever started it: a re-execution, Dagster's
`run_retries` and a launch by hand replace a failed run. Nothing is requested here.
"""

from __future__ import annotations

from collections.abc import Collection

import dagster as dg
from dagster._core.storage.tags import WILL_RETRY_TAG

from mlops_assets.components.project.failures import failure_messages

# characters of the reason for a failure
MAX_FAILURE = 400
_WAITING = {dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED}
# what is left of a run whose process was killed, or that could not be started
_OF_PROCESS = (dg.DagsterEventType.ENGINE_EVENT, dg.DagsterEventType.RUN_FAILURE)
_FAILURES = {
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION,
    *_OF_PROCESS,
}


def latest_run(instance: dg.DagsterInstance, asset: dg.AssetKey) -> dg.DagsterRun | None:
    """Return the newest run that was to materialise an asset; None if it was deleted too."""
    planned = instance.get_latest_planned_materialization_info(asset)
    return instance.get_run_by_id(planned.run_id) if planned else None


def latest_runs(
    instance: dg.DagsterInstance, asset: dg.AssetKey, partitions: Collection[str]
) -> dict[str, dg.DagsterRun]:
    """Return the newest run that was to materialise each partition of an asset.

    Those without a run, or whose run was deleted, are left out. There are three queries, however
    many partitions there are.
    """
    event = dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED
    # none would mean all
    if not partitions:
        return {}
    planned = instance.get_latest_storage_id_by_partition(asset, event, set(partitions))
    if not planned:
        return {}
    wanted = dg.EventRecordsFilter(event, asset, storage_ids=list(planned.values()))
    records = instance.event_log_storage.get_event_records(wanted)
    run_ids = list({record.run_id for record in records})
    runs = {run.run_id: run for run in instance.get_runs(dg.RunsFilter(run_ids=run_ids))}
    found = {record.partition_key: runs.get(record.run_id) for record in records}
    return {name: run for name in partitions if (run := found.get(name))}


def has_failed(run: dg.DagsterRun) -> bool:
    """Return whether a run ended without success and no retry is to come."""
    return run.is_failure_or_canceled and run.tags.get(WILL_RETRY_TAG) != "true"


def report(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    """Return the state of a run that has not succeeded, with its place in Dagster's UI."""
    named = f"run /runs/{run.run_id}"
    if not run.is_finished:
        return f"{named} is {'queued' if run.status in _WAITING else 'in progress'}"
    if run.status == dg.DagsterRunStatus.CANCELED:
        return f"{named} was canceled"
    if not has_failed(run):
        return f"{named} failed and will be retried by Dagster"
    return f"{named} failed: {_reason(instance, run)}"


def _reason(instance: dg.DagsterInstance, run: dg.DagsterRun) -> str:
    logs = instance.all_logs(run.run_id, of_type=_FAILURES)
    events = [entry.dagster_event for entry in logs if entry.dagster_event]
    messages = (
        list(failure_messages(events))
        or [event.message or "" for event in events if event.event_type in _OF_PROCESS][-2:]
    )
    reason = " ".join("; ".join(messages).split()) or "the reason is unknown"
    return reason[:MAX_FAILURE] + ("…" if reason[MAX_FAILURE:] else "")
