"""The sensor `new_input`, which makes a dataset of each new version of the one it is made from."""

from __future__ import annotations

from collections.abc import Sequence

import dagster as dg

from mlops_assets.components.naming import add_data_versions, data_versions
from mlops_assets.components.sensors.version_requests import VersionTarget, request_versions
from mlops_assets.processing.specification import ProcessedDatasetSpecification
from resources import StoreResource


def new_input_sensor(specification: ProcessedDatasetSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one dataset with `auto_process: true`.

    Input versions that were processed by hand are not requested. A run that failed is in the reason
    of every tick until the version is processed; it is never requested again.
    """
    first = specification.input_references[0].name
    asset = dg.AssetKey([specification.name, "processed"])
    target = VersionTarget(
        dataset=first,
        asset=asset,
        run_key=f"{specification.name}/",
        advice=(
            "correct the cause, then re-execute the run or run 'mlops dataset commit"
            f" {specification.name} --input VERSION'"
        ),
    )

    @dg.sensor(
        name=f"{specification.name}_new_input",
        job_name=job,
        minimum_interval_seconds=specification.sensor.interval_seconds,
        # as `auto_process: true` says
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Makes {specification.name} of every new version of {first}.",
    )
    def new_input(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        from mlops_assets.datasets.recall.ancestry import processed

        opened = store.open()
        # also what a killed run has committed
        for dataset in (first, specification.name):
            add_data_versions(context.instance, opened.registry, dataset)
        versions = context.instance.get_dynamic_partitions(data_versions(first).name or "")

        def by_hand(unprocessed: Sequence[str]) -> dict[str, None]:
            given = {(first, version) for version in unprocessed}
            found = processed(opened.workspace, opened.registry, specification.name, given)
            return dict.fromkeys(version for _, version in found)

        return request_versions(context, target, versions, by_hand)

    return new_input
