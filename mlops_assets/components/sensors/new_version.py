"""The sensor `new_version`, which trains on a new data version.

It starts the whole lifecycle of a model with `auto_train: true`.
"""

import json

import dagster as dg

from mlops_assets.components.naming import add_data_versions, data_versions
from mlops_assets.models.specification import ModelSpecification
from resources import StoreResource


def new_version_sensor(specification: ModelSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one model.

    Its cursor is the list of versions it has requested that have no run yet.

    Versions that were already trained by hand are not requested, so that starting the sensor starts
    no training by itself.
    """

    @dg.sensor(
        name=f"{specification.name}_new_version",
        job_name=job,
        minimum_interval_seconds=30,
        # as `auto_train: true` says
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Trains {specification.name} on every new version of {specification.dataset}.",
    )
    def new_version(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        registry = store.open().registry
        # also what a killed run has committed
        add_data_versions(context.instance, registry, specification.dataset)
        versions = context.instance.get_dynamic_partitions(
            data_versions(specification.dataset).name or ""
        )
        trained = registry.trained_versions(specification.name)
        asked = set(json.loads(context.cursor) if context.cursor else []) - trained
        new = [version for version in versions if version not in asked and version not in trained]
        if not new:
            return dg.SensorResult(skip_reason=f"no new version of {specification.dataset}")
        requests = [
            dg.RunRequest(
                run_key=f"{specification.name}/{specification.dataset}@{version}",
                partition_key=version,
                tags={"mlops/sensor": "new_version"},
            )
            for version in new
        ]
        context.update_cursor(
            json.dumps([version for version in versions if version in asked.union(new)])
        )
        return dg.SensorResult(requests)

    return new_version
