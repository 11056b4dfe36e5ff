"""The submission of runs to the queue of a Dagster instance, from which its daemon starts them."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import dagster as dg
from dagster._config.validate import validate_config_from_snap
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.run_coordinator import QueuedRunCoordinator
from dagster._core.storage.tags import PARTITION_NAME_TAG
from dagster._core.utils import make_new_run_id
from dagster._daemon.run_coordinator.queued_run_coordinator_daemon import (
    QueuedRunCoordinatorDaemon,
)

from mlops_assets.errors import OrchestratorUnavailable, SpecificationError
from mlops_assets.orchestration.code_locations import SILENT, CodeLocations

# it beats every 30 s; one that is late has ended or hangs
MAX_HEARTBEAT_AGE = 75.0
NO_DAEMON = "queued; Dagster's daemon does not run: start 'mlops up'"


@dataclass(frozen=True)
class Submission:
    """A run that is to be submitted.

    Attributes:
        job: name of the job.
        partition: key of its partition; None if it has none.
        ops: run config of each op.
        tags: of the run, besides those of the job.
        run_id: of the Dagster run.
    """

    job: str
    partition: str | None = None
    ops: Mapping[str, object] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    run_id: str = field(default_factory=make_new_run_id)


def submit(locations: CodeLocations, submission: Submission) -> None:
    """Submit a run to the queue.

    Raises:
        NotFound: there is no such job.
        SpecificationError: its config is not valid, or its steps cannot be planned.
        OrchestratorUnavailable: the code server is out of reach.
    """
    instance = locations.instance
    served = locations.job(submission.job)
    config = {"ops": dict(submission.ops)} if submission.ops else {}
    checked = validate_config_from_snap(
        served.job.config_schema_snapshot, served.job.root_config_key or "", config
    )
    if not checked.success:
        raise SpecificationError("; ".join(error.message for error in checked.errors or []))
    tags = {**served.job.tags, **submission.tags}
    if submission.partition is not None:
        tags[PARTITION_NAME_TAG] = submission.partition
    try:
        plan = served.location.get_execution_plan(served.job, config, None, None, instance)
        snapshot = plan.execution_plan_snapshot
        run = instance.create_run(
            job_name=served.job.name,
            run_id=submission.run_id,
            run_config=config,
            status=None,
            tags=tags,
            root_run_id=None,
            parent_run_id=None,
            step_keys_to_execute=snapshot.step_keys_to_execute,
            execution_plan_snapshot=snapshot,
            job_snapshot=served.job.job_snapshot,
            parent_job_snapshot=served.job.parent_job_snapshot,
            asset_selection=None,
            asset_check_selection=None,
            resolved_op_selection=None,
            op_selection=None,
            remote_job_origin=served.job.get_remote_origin(),
            job_code_origin=served.job.get_python_origin(),
            asset_graph=served.repository.asset_graph,
        )
        instance.submit_run(run.run_id, locations.context())
    except DagsterUserCodeUnreachableError as error:
        raise OrchestratorUnavailable(SILENT) from error
    except DagsterUserCodeProcessError as error:
        raise SpecificationError(f"{submission.job} cannot be planned: {error}") from error


def daemon_notice(instance: dg.DagsterInstance) -> str:
    """Return why a run that was submitted does not start by itself; empty if it does."""
    if not isinstance(instance.run_coordinator, QueuedRunCoordinator):
        return ""
    beat = instance.get_daemon_heartbeats().get(QueuedRunCoordinatorDaemon.daemon_type())
    if beat is None or time.time() - beat.timestamp > MAX_HEARTBEAT_AGE:
        return NO_DAEMON
    return ""
