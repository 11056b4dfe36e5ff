"""The sensor `new_version`: a new data version starts the whole lifecycle of a model with `auto_train: true`."""

import json
from collections.abc import Iterator

import dagster as dg

from mlops_assets.components.naming import data_versions
from mlops_assets.training.specification import ModelSpecification
from resources import StoreResource


def new_version_sensor(specification: ModelSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one model. Its cursor is the list of versions it has asked for.

    What was trained by hand already is not asked for, so that starting the sensor starts nothing by itself.
    """

    @dg.sensor(
        name=f"{specification.name}_new_version",
        job_name=job,
        minimum_interval_seconds=30,
        description=f"Trains {specification.name} on every new version of {specification.dataset}.",
    )
    def new_version(
        context: dg.SensorEvaluationContext, store: StoreResource
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        versions = context.instance.get_dynamic_partitions(data_versions(specification.dataset).name or "")
        asked = json.loads(context.cursor) if context.cursor else []
        trained = {run.data_version for run in store.open().registry.runs(specification.name)}
        new = [version for version in versions if version not in asked and version not in trained]
        if not new:
            yield dg.SkipReason(f"no new version of {specification.dataset}")
            return
        for version in new:
            yield dg.RunRequest(
                run_key=f"{specification.name}/{specification.dataset}@{version}",
                partition_key=version,
                tags={"mlops/sensor": "new_version"},
            )
        context.update_cursor(json.dumps([*asked, *new]))

    return new_version
