"""What a hub reports of Dagster: its code server, the queue, and the daemons."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.remote_representation.code_location import GrpcServerCodeLocation

from mlops_assets.components.project.storage_failures import storage_failures
from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.hub.operations.readiness import WELL
from mlops_assets.orchestration.code_locations import CodeLocations

_STATUSES = tuple(dg.DagsterRunStatus)


@dataclass(frozen=True)
class OrchestrationTotals:
    """Figures of a Dagster instance.

    Attributes:
        runs: status in lower case → number of runs.
        heartbeats: type of a daemon → its newest heartbeat, as Unix time.
    """

    runs: Mapping[str, int]
    heartbeats: Mapping[str, float]


def read_orchestration(instance: dg.DagsterInstance) -> OrchestrationTotals:
    """Return the figures of an instance.

    Raises:
        OrchestratorUnavailable: its storage cannot be read.
    """
    try:
        return OrchestrationTotals(
            runs={
                status.value.lower(): instance.get_runs_count(dg.RunsFilter(statuses=[status]))
                for status in _STATUSES
            },
            heartbeats={
                kind.lower(): beat.timestamp
                for kind, beat in instance.get_daemon_heartbeats().items()
            },
        )
    except storage_failures() as error:
        raise OrchestratorUnavailable(
            f"Dagster's storage cannot be read: {error}; see 'mlops doctor'"
        ) from error


def code_server_state(locations: CodeLocations) -> str:
    """Return whether the code servers answer, and have loaded the project.

    Raises:
        OrchestratorUnavailable: they are not connected.
        SpecificationError: none could load the project.
    """
    try:
        repositories = locations.repositories()
    except OrchestratorUnavailable:
        return "is not connected"
    if not repositories:
        return "has loaded no project"
    for location, _ in repositories:
        if isinstance(location, GrpcServerCodeLocation):
            try:
                location.client.heartbeat("ready")
            except DagsterUserCodeUnreachableError:
                return "does not answer"
    return WELL
