"""The sensor `new_data`: a landing that has changed and settled is committed.

It lists; it hashes and opens nothing.

Listing is up to the landing; reading a queue instead is in `notifications`.
"""

from __future__ import annotations

import json
import time

import dagster as dg

from mlops_assets.components.landing_source import observation, scan
from mlops_assets.components.sensors.notifications import queue_key, read_notifications
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.errors import DataProblems, EmptyLanding, StorageError

# characters that Dagster stores with every tick
MAX_REASON = 2000


def new_data_sensor(specification: DatasetSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one dataset.

    An error that prevents a scan is its reason to skip, and it scans again at the next tick.
    """
    notified = specification.source.notifications is not None
    tick = read_notifications if notified else _list

    @dg.sensor(
        name=f"{specification.name}_new_data",
        job_name=job,
        minimum_interval_seconds=specification.sensor.interval_seconds,
        default_status=dg.DefaultSensorStatus(specification.sensor.status.upper()),
        description=f"Commits the landing of {specification.name} once new data has settled.",
        required_resource_keys={"store", queue_key(specification.name)} if notified else {"store"},
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        try:
            return tick(context, specification)
        except (EmptyLanding, DataProblems, StorageError) as error:
            reason = str(error)
            return dg.SensorResult(
                skip_reason=reason[:MAX_REASON] + ("…" if reason[MAX_REASON:] else "")
            )

    return new_data


def _list(
    context: dg.SensorEvaluationContext, specification: DatasetSpecification
) -> dg.SensorResult:
    """Compare a listing with the cursor: the last listing, its time, and the last request."""
    state = scan(context.resources.store.open().workspace, specification.source)
    cursor = json.loads(context.cursor) if context.cursor else {}
    events = []
    if cursor.get("seen") != state.fingerprint:
        cursor = {"seen": state.fingerprint, "since": time.time(), "asked": cursor.get("asked")}
        context.update_cursor(json.dumps(cursor))
        events.append(observation(specification.name, state))
    if cursor.get("asked") == state.fingerprint:
        return dg.SensorResult(skip_reason="the landing has not changed", asset_events=events)
    left = specification.sensor.settle_seconds - (time.time() - cursor["since"])
    if left > 0:
        return dg.SensorResult(
            skip_reason=f"new data, settling for {left:.0f} s more", asset_events=events
        )
    context.update_cursor(json.dumps({**cursor, "asked": state.fingerprint}))
    # with the time, as a landing that returns to an earlier state is to be committed again
    key = f"{state.fingerprint[:16]}-{cursor['since']:.0f}"
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key, tags={"mlops/sensor": "new_data"})],
        asset_events=events,
    )
