"""The sensor `issues`, which opens and closes the issues of alarms.

It starts no run. The core does it; see `mlops_assets.integrations.issue_trackers`.
"""

import json
import time
from pathlib import Path

import dagster as dg

from mlops_assets.settings import Settings
from resources import StoreResource

INTERVAL_SECONDS = 60


def issues() -> dg.Definitions:
    """Return the sensor; nothing if no issue trackers are declared."""
    declared = Settings.from_environment().issues
    return dg.Definitions() if declared is None else dg.Definitions(sensors=[_sensor(declared)])


def _sensor(path: Path) -> dg.SensorDefinition:
    @dg.sensor(
        name="issues",
        minimum_interval_seconds=INTERVAL_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Opens an issue for each alarm of monitoring, and closes it on recovery.",
    )
    def follow_alarms(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SkipReason:
        from mlops_assets.errors import Conflict
        from mlops_assets.integrations.issue_trackers.declaration import read_trackers
        from mlops_assets.integrations.issue_trackers.sync import synchronise

        # what needs no request, and until when a tracker has asked to wait
        cursor = json.loads(context.cursor) if context.cursor else {"settled": {}, "paused": {}}
        settled = {int(number): state for number, state in cursor["settled"].items()}
        paused = {name: until for name, until in cursor["paused"].items() if until > time.time()}
        try:
            outcome = synchronise(store.open(), read_trackers(path), settled, list(paused))
        except Conflict:
            return dg.SkipReason("another process is synchronising issues")
        paused |= {name: time.time() + seconds for name, seconds in outcome.waits.items()}
        context.update_cursor(json.dumps({"settled": outcome.settled, "paused": paused}))
        failed = [change for change in outcome.changes if change.error is not None]
        for change in failed:
            context.log.warning(f"issue of alarm {change.alarm}: {change.error}")
        done = len(outcome.changes) - len(failed)
        waiting = f"; waiting for {', '.join(sorted(paused))}" if paused else ""
        return dg.SkipReason(f"{done} issue(s) changed, {len(failed)} failed{waiting}")

    return follow_alarms
