"""The sensor `new_input`, which makes a dataset of each new version of the one it is made from."""

import json

import dagster as dg

from mlops_assets.components.naming import add_data_versions, data_versions
from mlops_assets.processing.specification import ProcessedDatasetSpecification
from resources import StoreResource


def new_input_sensor(specification: ProcessedDatasetSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one dataset with `auto_process: true`.

    Its cursor is the list of input versions it has requested that no version is made of yet.

    Input versions that were processed by hand are not requested.
    """
    first = specification.input_references[0].name

    @dg.sensor(
        name=f"{specification.name}_new_input",
        job_name=job,
        minimum_interval_seconds=specification.sensor.interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Makes {specification.name} of every new version of {first}.",
    )
    def new_input(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        from mlops_assets.datasets.recall.ancestry import processed_versions

        opened = store.open()
        # also what a killed run has committed
        for dataset in (first, specification.name):
            add_data_versions(context.instance, opened.registry, dataset)
        versions = context.instance.get_dynamic_partitions(data_versions(first).name or "")
        asked = set(json.loads(context.cursor) if context.cursor else [])
        new = [version for version in versions if version not in asked]
        if not new:
            return dg.SensorResult(skip_reason=f"no new version of {first}")
        # documents are read only where a version has not been met
        made = processed_versions(opened.workspace, opened.registry, specification.name, first)
        context.update_cursor(json.dumps(versions))
        requests = [
            dg.RunRequest(
                run_key=f"{specification.name}/{first}@{version}",
                partition_key=version,
                tags={"mlops/sensor": "new_input"},
            )
            for version in new
            if version not in made
        ]
        if not requests:
            return dg.SensorResult(skip_reason=f"every version of {first} has been processed")
        return dg.SensorResult(requests)

    return new_input
