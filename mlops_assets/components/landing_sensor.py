"""The sensor `new_data`: a landing that has changed and settled is frozen. It lists; it hashes and opens nothing."""

import json
import time

import dagster as dg

from mlops_assets.datasets.landing import fingerprint, landing_folder, list_landing
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.errors import EmptyLanding
from resources import StoreResource


def new_data_sensor(specification: DatasetSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one dataset. Its cursor keeps what was seen, since when, and what was last asked for."""

    @dg.sensor(
        name=f"{specification.name}_new_data",
        job_name=job,
        minimum_interval_seconds=specification.sensor.interval_seconds,
        description=f"Freezes the landing of {specification.name} once new data has settled.",
    )
    def new_data(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.RunRequest | dg.SkipReason:
        folder = landing_folder(store.open().workspace, specification.source.url)
        try:
            seen = fingerprint(list_landing(folder))
        except EmptyLanding as empty:
            return dg.SkipReason(str(empty))
        cursor = json.loads(context.cursor) if context.cursor else {}
        if cursor.get("asked") == seen:
            return dg.SkipReason("the landing has not changed")
        if cursor.get("seen") != seen:
            cursor = {**cursor, "seen": seen, "since": time.time()}
            context.update_cursor(json.dumps(cursor))
        waited = time.time() - cursor["since"]
        if waited < specification.sensor.settle_seconds:
            return dg.SkipReason(f"new data, settling for {specification.sensor.settle_seconds - waited:.0f} s more")
        context.update_cursor(json.dumps({**cursor, "asked": seen}))
        return dg.RunRequest(run_key=seen, tags={"mlops/sensor": "new_data"})

    return new_data
