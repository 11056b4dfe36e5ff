"""The sensor `new_data`: a landing that has changed and settled is committed.

It lists; it hashes and opens nothing.

Listing is up to the landing; reading a queue instead is in `notifications`.
"""

from __future__ import annotations

import hashlib
import json
import time

import dagster as dg

from mlops_assets.components.landing_source import observation, scan
from mlops_assets.components.sensors.notifications import queue_key, read_notifications
from mlops_assets.components.sensors.run_reports import has_failed, latest_run, report
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.errors import DataProblems, EmptyLanding, StorageError

# characters that Dagster stores with every tick
MAX_REASON = 2000
UNCHANGED = "the landing has not changed"


def new_data_sensor(specification: DatasetSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one dataset.

    An error that prevents a scan is its reason to skip, and it scans again at the next tick. A
    commit that failed is in the reason of every tick until another run of the landing succeeds.
    """
    notified = specification.source.notifications is not None
    advice = (
        f"correct the landing or the declaration of {specification.name}, which starts another"
        " commit, or re-execute the run"
    )

    @dg.sensor(
        name=f"{specification.name}_new_data",
        job_name=job,
        minimum_interval_seconds=specification.sensor.interval_seconds,
        default_status=dg.DefaultSensorStatus(specification.sensor.status.upper()),
        description=f"Commits the landing of {specification.name} once new data has settled.",
        required_resource_keys={"store", queue_key(specification.name)} if notified else {"store"},
    )
    def new_data(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        run = latest_run(context.instance, dg.AssetKey([specification.name, "landing"]))
        failed = run if run and has_failed(run) else None
        try:
            found = (
                read_notifications(context, specification)
                if notified
                else _list(context, specification, failed)
            )
        except (EmptyLanding, DataProblems, StorageError) as error:
            found = dg.SensorResult(skip_reason=_shortened(str(error)))
        if not found.skip_reason or run is None or run.is_success:
            return found
        reason = found.skip_reason.skip_message or ""
        if failed:
            failure = f"{report(context.instance, run)}; {advice}"
            reason = failure if reason == UNCHANGED else f"{reason}; {failure}"
        elif reason == UNCHANGED:
            reason = report(context.instance, run)
        return found._replace(skip_reason=dg.SkipReason(reason))

    return new_data


def _shortened(reason: str) -> str:
    return reason[:MAX_REASON] + ("…" if reason[MAX_REASON:] else "")


def _list(
    context: dg.SensorEvaluationContext,
    specification: DatasetSpecification,
    failed: dg.DagsterRun | None,
) -> dg.SensorResult:
    """Compare a listing with the cursor.

    The cursor is the last listing, its time, and the last request: its listing and the declaration
    of then, which a cursor of an earlier release lacks.
    """
    state = scan(context.resources.store.open().workspace, specification.source)
    cursor = json.loads(context.cursor) if context.cursor else {}
    declared = _digest(specification)
    events = []
    if cursor.get("seen") != state.fingerprint:
        cursor = {**cursor, "seen": state.fingerprint, "since": time.time()}
        context.update_cursor(json.dumps(cursor))
        events.append(observation(specification.name, state))
    elif failed and cursor.get("declared", declared) != declared:
        # what could not be committed as it was declared then may be now
        cursor = {"seen": state.fingerprint, "since": time.time()}
        context.update_cursor(json.dumps(cursor))
    if cursor.get("asked") == state.fingerprint:
        return dg.SensorResult(skip_reason=UNCHANGED, asset_events=events)
    left = specification.sensor.settle_seconds - (time.time() - cursor["since"])
    if left > 0:
        return dg.SensorResult(
            skip_reason=f"new data, settling for {left:.0f} s more", asset_events=events
        )
    context.update_cursor(json.dumps({**cursor, "asked": state.fingerprint, "declared": declared}))
    # with the time, as a landing that returns to an earlier state is to be committed again
    key = f"{state.fingerprint[:16]}-{cursor['since']:.0f}"
    return dg.SensorResult(
        run_requests=[dg.RunRequest(run_key=key)],
        asset_events=events,
    )


def _digest(specification: DatasetSpecification) -> str:
    """Return a digest of what a commit takes from the declaration."""
    text = json.dumps(specification.committed(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
