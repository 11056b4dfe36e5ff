"""The schedules of a service's days: compaction by the hour, monitoring every night."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.serving.specification import ServiceSpecification
from resources import StoreResource

if TYPE_CHECKING:
    from dagster._core.definitions.unresolved_asset_job_definition import (
        UnresolvedAssetJobDefinition,
    )

EVERY_HOUR = "5 * * * *"
# once the requests of the day before have left the servers
EVERY_NIGHT = "30 0 * * *"
# days that are monitored again in a night, as labels of them have landed; the rest is next
MAX_DAYS = 31


def monitoring_schedules(
    specification: ServiceSpecification,
    monitoring: UnresolvedAssetJobDefinition,
    compaction: UnresolvedAssetJobDefinition,
) -> list[dg.ScheduleDefinition]:
    """Return the schedules of a service's days.

    Both are on without being turned on, as who declares a service wants to know how its model
    does; a night without a request costs one short run.

    Args:
        specification: the service as declared.
        monitoring: the job that monitors a day.
        compaction: the job that compacts a day.
    """
    model = specification.model

    @dg.schedule(
        name=f"{model}_monitoring",
        job=monitoring,
        cron_schedule=EVERY_NIGHT,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=(
            f"Monitors {model} on the day before, and again on days whose labels or requests have"
            " changed since."
        ),
    )
    def nightly(
        context: dg.ScheduleEvaluationContext, store: StoreResource
    ) -> list[dg.RunRequest] | dg.SkipReason:
        from mlops_assets.monitoring.due import due_days

        due = due_days(store.open(), specification, _time(context).date())
        if not due:
            return dg.SkipReason("every day has been monitored, and nothing has changed since")
        return [
            dg.RunRequest(run_key=f"{own.day}-{own.state}", partition_key=own.day)
            for own in due[-MAX_DAYS:]
        ]

    @dg.schedule(
        name=f"{model}_inference_log",
        job=compaction,
        cron_schedule=EVERY_HOUR,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Puts new requests to {model} into the file of their day.",
    )
    def hourly(
        context: dg.ScheduleEvaluationContext, store: StoreResource
    ) -> dg.RunRequest | dg.SkipReason:
        from mlops_assets.paths import segments_folder

        time = _time(context)
        day = time.date().isoformat()
        if not any(True for _ in store.open().workspace.list(segments_folder(model, day))):
            return dg.SkipReason(f"no request of {day} is waiting")
        return dg.RunRequest(run_key=f"{time:%Y-%m-%dT%H}", partition_key=day)

    return [nightly, hourly]


def _time(context: dg.ScheduleEvaluationContext) -> datetime:
    """Return the time of a tick in UTC, whatever time zone the schedule is evaluated in."""
    return context.scheduled_execution_time.astimezone(UTC)
