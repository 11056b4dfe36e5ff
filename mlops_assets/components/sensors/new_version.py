"""The sensors `new_version`: of a model, which trains on a new data version, and of a dataset.

That of a model with `auto_train: true` starts its whole lifecycle. That of a dataset has the
quality report and the record made of versions that no model trains on by itself.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.run_request import InstigatorType

from mlops_assets.components.naming import add_data_versions, data_versions
from mlops_assets.components.sensors.version_requests import VersionTarget, request_versions
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.models.specification import ModelSpecification
from resources import StoreResource

if TYPE_CHECKING:
    from mlops_assets.registry import DataVersion

# metadata of a model's sensor: the dataset it trains on
TRAINS_ON = "dataset"
SUFFIX = "_new_version"
# after which a version is assessed by the sensor: `mlops dataset commit` does so at once
AT_HAND_SECONDS = 10.0


def new_version_sensor(specification: ModelSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor of one model.

    Versions that were already trained by hand are not requested. A lifecycle that failed is in the
    reason of every tick until the version has its record; it is never requested again.
    """
    target = VersionTarget(
        dataset=specification.dataset,
        asset=dg.AssetKey([specification.name, "record"]),
        run_key=f"{specification.name}/",
        advice=(
            "correct the cause, then re-execute the run from failure or run 'mlops train"
            f" {specification.name}@VERSION'"
        ),
    )

    @dg.sensor(
        name=f"{specification.name}_new_version",
        job_name=job,
        minimum_interval_seconds=30,
        # as `auto_train: true` says
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Trains {specification.name} on every new version of {specification.dataset}.",
        metadata={TRAINS_ON: specification.dataset},
    )
    def new_version(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        registry = store.open().registry
        # also what a killed run has committed
        add_data_versions(context.instance, registry, specification.dataset)
        versions = context.instance.get_dynamic_partitions(
            data_versions(specification.dataset).name or ""
        )

        def trained(_: Sequence[str]) -> dict[str, None]:
            return dict.fromkeys(registry.trained_versions(specification.name))

        return request_versions(context, target, versions, trained)

    return new_version


def assessment_sensor(specification: DatasetSpecification, job: str) -> dg.SensorDefinition:
    """Return the sensor `new_version` of one dataset.

    A version is left to the lifecycle of a model whose sensor will request it, as that assesses and
    records the data first.
    """
    target = VersionTarget(
        dataset=specification.name,
        asset=dg.AssetKey([specification.name, "record"]),
        run_key="",
        advice=(
            "correct the cause, then re-execute the run or run 'mlops dataset assess"
            f" {specification.name}@VERSION'"
        ),
    )

    @dg.sensor(
        name=f"{specification.name}_new_version",
        job_name=job,
        minimum_interval_seconds=specification.sensor.interval_seconds,
        default_status=dg.DefaultSensorStatus(specification.sensor.status.upper()),
        description=(
            f"Assesses and records every version of {specification.name} that no model trains on by"
            " itself."
        ),
    )
    def new_version(context: dg.SensorEvaluationContext, store: StoreResource) -> dg.SensorResult:
        registry = store.open().registry
        add_data_versions(context.instance, registry, specification.name)
        rows = registry.data_versions(specification.name)

        def left(versions: Sequence[str]) -> dict[str, str]:
            reasons: dict[str, str] = {}
            for model in _training_models(context, specification.name):
                untrained = set(versions) - registry.trained_versions(model)
                reasons |= dict.fromkeys(untrained, f"left to the lifecycle of {model}")
            return reasons | _just_committed(rows)

        return request_versions(context, target, [row.version for row in rows], left)

    return new_version


def is_trained_by_itself(context: dg.SensorEvaluationContext, model: str) -> bool:
    """Return whether the sensor of a model trains it on every version, and is on."""
    return model in (sensor.name.removesuffix(SUFFIX) for sensor in _training_sensors(context))


def _training_models(context: dg.SensorEvaluationContext, dataset: str) -> list[str]:
    """Return the models whose sensors train on every version of a dataset, and are on."""
    return [
        sensor.name.removesuffix(SUFFIX)
        for sensor in _training_sensors(context)
        if sensor.metadata[TRAINS_ON].value == dataset
    ]


def _training_sensors(context: dg.SensorEvaluationContext) -> list[dg.SensorDefinition]:
    """Return the sensors of models that are on."""
    repository = context.repository_def
    if repository is None:
        return []
    states = {
        state.name: state.is_running
        for state in context.instance.all_instigator_state(instigator_type=InstigatorType.SENSOR)
        if state.origin.repository_origin.repository_name == repository.name
    }
    return [
        sensor
        for sensor in repository.sensor_defs
        if TRAINS_ON in sensor.metadata
        and states.get(sensor.name, sensor.default_status == dg.DefaultSensorStatus.RUNNING)
    ]


def _just_committed(rows: Sequence[DataVersion]) -> dict[str, str]:
    since = time.time() - AT_HAND_SECONDS
    return {row.version: "just committed" for row in rows if row.created.timestamp() > since}
