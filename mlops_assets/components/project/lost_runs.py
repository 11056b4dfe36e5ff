"""Runs that lost their process: after a power cut or a kill they would be in progress for ever.

Dagster would count them among those that may run at once.
"""

from __future__ import annotations

import json
import socket
import time

import dagster as dg
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.tags import GRPC_INFO_TAG

from mlops_assets.models.run_documents import end_run
from mlops_assets.store import Store
from mlops_assets.training.resume import checkpoint_note, close_abandoned_runs

IN_PROGRESS = [
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
REASON = "the process exited unexpectedly"
# in which a pod that is to end has ended; the chart gives it two minutes
GRACE_SECONDS = 600


def close_lost_trainings(store: Store, instance: dg.DagsterInstance) -> list[str]:
    """Mark training runs as failed whose process is gone, in the registry and in Dagster.

    The process of a pod is gone if its run of Dagster ended so long ago that it cannot be at work
    any more; other machines' processes are out of sight otherwise.

    Args:
        store: training runs are in its registry.
        instance: the Dagster instance of the project.

    Returns:
        The ids of the training runs.
    """
    gone = close_abandoned_runs(store)
    for run_id in gone:
        run = instance.get_run_by_id(store.registry.run(run_id).orchestration_run or "")
        if run is not None and not run.is_finished:
            instance.report_run_failed(run, REASON)
    for training in store.registry.runs(status="running", source="platform"):
        if _ended_long_ago(instance, training.orchestration_run):
            note = checkpoint_note(store.registry, training.run_id)
            error = f"its pod is gone, and its run of Dagster has ended{note}"
            end_run(store, training.run_id, "failed", error)
            gone.append(training.run_id)
    return gone


def _ended_long_ago(instance: dg.DagsterInstance, run_id: str | None) -> bool:
    record = instance.get_run_record_by_id(run_id) if run_id else None
    if record is None or not record.dagster_run.is_finished or record.end_time is None:
        return False
    return time.time() - record.end_time > GRACE_SECONDS


def close_lost_runs(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs of Dagster as failed that were started by a code server that is gone.

    A code server ends only after its runs, so none of these has a process. The runs of commands
    were started by none and are left.

    Only for a caller that holds the lock of the Dagster home: the code server of another process
    may be in a container, out of sight. For the same reason nothing is closed in a database, which
    other machines may share.

    Args:
        instance: the Dagster instance of the project.

    Returns:
        The ids of the runs.
    """
    if not isinstance(instance.run_storage, SqliteRunStorage):
        return []
    lost = []
    for run in instance.get_runs(dg.RunsFilter(statuses=IN_PROGRESS)):
        path = json.loads(run.tags.get(GRPC_INFO_TAG, "{}")).get("socket")
        if path is not None and not _listens(path):
            instance.report_run_failed(run, REASON)
            lost.append(run.run_id)
    return lost


def _listens(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(path)
        except OSError:
            return False
    return True
