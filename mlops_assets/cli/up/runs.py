"""What `mlops up` reads of a Dagster instance: what is on, and what becomes of runs."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.errors import DagsterUserCodeProcessError, DagsterUserCodeUnreachableError
from dagster._core.storage.tags import GRPC_INFO_TAG

from mlops_assets.orchestration.code_locations import CodeLocations

MAX_RUNS = 100
ASSET_JOB = "__ASSET_JOB"
MAX_ASSETS = 3
# a run of a backfill has a range, of one data version
PARTITION_TAGS = ("dagster/partition", "dagster/asset_partition_range_start")


@dataclass(frozen=True)
class Run:
    """A run of Dagster.

    Attributes:
        id: its id.
        status: in Dagster's words, such as STARTED.
        ours: a process of these services executes it, so they can end it.
        subject: the job, or the assets where they were selected, and the partition if there is one.
    """

    id: str
    status: str
    ours: bool
    subject: str

    @classmethod
    def of(cls, run: dg.DagsterRun) -> Run:
        """Return what is read of a run."""
        partition = next((f"[{run.tags[tag]}]" for tag in PARTITION_TAGS if tag in run.tags), "")
        # a command executes those that no code server does
        ours = GRPC_INFO_TAG in run.tags and not run.is_finished
        return cls(run.run_id, run.status.value, ours, f"{_selected(run)}{partition}")


@dataclass(frozen=True)
class Automations:
    """The names of the sensors and schedules of a project that are on, and of those that are off.

    Attributes:
        on: evaluated by the daemon.
        off: not evaluated.
    """

    on: list[str]
    off: list[str]


def automations(locations: CodeLocations) -> Automations:
    """Return the sensors and schedules of the project.

    Raises:
        SpecificationError: Dagster cannot load the project.
        OrchestratorUnavailable: the code server is not connected.
    """
    states = {
        (state.instigator_type, state.name): state
        for state in locations.instance.all_instigator_state()
    }
    found: dict[str, bool] = {}
    for _, repository in locations.repositories():
        for sensor in repository.get_sensors():
            stored = states.get((InstigatorType.SENSOR, sensor.name))
            found[sensor.name] = sensor.get_current_instigator_state(stored).is_running
        for schedule in repository.get_schedules():
            stored = states.get((InstigatorType.SCHEDULE, schedule.name))
            found[schedule.name] = schedule.get_current_instigator_state(stored).is_running
    return Automations(
        sorted(name for name, running in found.items() if running),
        sorted(name for name, running in found.items() if not running),
    )


def runs(instance: dg.DagsterInstance, *statuses: dg.DagsterRunStatus) -> list[Run]:
    """Return the newest runs that have one of some statuses."""
    wanted = dg.RunsFilter(statuses=list(statuses))
    return [Run.of(run) for run in instance.get_runs(wanted, limit=MAX_RUNS)]


def runs_since(instance: dg.DagsterInstance, time: float) -> list[Run]:
    """Return the runs whose status has changed since a time (seconds since the epoch)."""
    wanted = dg.RunsFilter(updated_after=datetime.fromtimestamp(time, UTC))
    return [Run.of(run) for run in instance.get_runs(wanted, limit=MAX_RUNS)]


def cancel(instance: dg.DagsterInstance, wanted: Iterable[Run]) -> None:
    """Ask runs to end; each is canceled once its process has ended."""
    for run in wanted:
        with suppress(DagsterUserCodeUnreachableError, DagsterUserCodeProcessError):
            instance.run_coordinator.cancel_run(run.id)


def _selected(run: dg.DagsterRun) -> str:
    if run.job_name != ASSET_JOB or not run.asset_selection:
        return run.job_name
    names = sorted(key.to_user_string() for key in run.asset_selection)
    more = f" and {len(names) - MAX_ASSETS} more" if len(names) > MAX_ASSETS else ""
    return f"{', '.join(names[:MAX_ASSETS])}{more}"
