"""The sensor `new_scenes`, which has the days of an area predicted whose scenes are new or changed.

It lists; it opens no scene.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import dagster as dg

from mlops_assets.components.naming import AREA, MODEL_VERSION
from mlops_assets.components.sensors.run_reports import has_failed, latest_runs, report
from mlops_assets.errors import MlopsError
from mlops_assets.prediction.areas.specification import AreaSpecification
from mlops_assets.text.listing import named
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.prediction.scenes.by_day import ScenesByDay

# tag of a run and of its map: the listing of the scenes of its day
LISTING = "mlops/listing"
MAX_REQUESTED = 25  # runs of a tick
MAX_NAMED = 3
MAX_REASON = 2000


def new_scenes_sensor(specification: AreaSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one area with `auto_predict: true`.

    A day is requested once for each listing of its scenes: when scenes are added, removed or
    changed, it is requested again. A version that comes into production meanwhile predicts the days
    that follow; days that have a map keep it.
    """
    name = specification.name

    @dg.sensor(
        name=f"{name}_new_scenes",
        job_name=job,
        minimum_interval_seconds=specification.sensor.interval_seconds,
        # by `auto_predict: true`
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Maps the days of {name} that have new or changed scenes.",
    )
    def new_scenes(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        from mlops_assets.names import Reference
        from mlops_assets.prediction.areas.day import list_scenes

        opened = store.open()
        try:
            row = opened.registry.model_version(Reference(specification.model, specification.alias))
            first, last = specification.watched_interval(datetime.now(UTC).date())
            listing = list_scenes(opened, specification, first, last)
        except MlopsError as error:
            return dg.SensorResult(skip_reason=str(error)[:MAX_REASON])
        due, settled = _due(context, specification, listing)
        requests = [
            dg.RunRequest(
                run_key=f"{day}/{digest[:16]}/{row.version}",
                partition_key=day,
                tags={AREA: name, MODEL_VERSION: row.version, LISTING: digest},
            )
            for day, digest in list(due.items())[:MAX_REQUESTED]
        ]
        settled |= {request.partition_key or "": request.tags[LISTING] for request in requests}
        return dg.SensorResult(
            requests,
            skip_reason=None if requests else _reason(context, specification, listing),
            cursor=json.dumps(settled),
        )

    return new_scenes


def _due(
    context: dg.SensorEvaluationContext, specification: AreaSpecification, listing: ScenesByDay
) -> tuple[dict[str, str], dict[str, str]]:
    """Return the days to request and those that were requested, each with its listing.

    The cursor has the latter. For other days than it has, and other listings, the newest run of the
    day counts, whoever started it: the tag of the run has the listing, at the latest when it has
    published the map.
    """
    digests = {str(day): listing.digest(day) for day in listing.days}
    cursor: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    unknown = [day for day, digest in digests.items() if cursor.get(day) != digest]
    runs = latest_runs(context.instance, _asset(specification), unknown)
    known = cursor | {day: run.tags.get(LISTING, "") for day, run in runs.items()}
    settled = {day: digest for day, digest in digests.items() if known.get(day) == digest}
    due = {day: digest for day, digest in digests.items() if day not in settled}
    return due, {day: known[day] for day in digests if day in known}


def _asset(specification: AreaSpecification) -> dg.AssetKey:
    return dg.AssetKey([specification.name, "prediction"])


def _reason(
    context: dg.SensorEvaluationContext, specification: AreaSpecification, listing: ScenesByDay
) -> str:
    """Return why no day is requested, with the newest failures."""
    days = [str(day) for day in listing.days]
    runs: Mapping[str, dg.DagsterRun] = latest_runs(context.instance, _asset(specification), days)
    failed = [
        f"{day}: {report(context.instance, run)}" for day, run in runs.items() if has_failed(run)
    ]
    parts = ["no scene is new" if listing.days else "the source has no scene of the watched days"]
    if failed:
        parts.append(
            f"{named(failed, MAX_NAMED)}; correct the cause, then re-execute the run or run"
            f" 'mlops predict {specification.name} --date DAY'"
        )
    if listing.undated:
        names = named([scene.name for scene in listing.undated], MAX_NAMED)
        parts.append(f"without a date of acquisition, so of no day: {names}")
    return "; ".join(parts)[:MAX_REASON]
