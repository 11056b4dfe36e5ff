"""Ticks of our sensors in a fresh process, as Dagster's daemon evaluates them, on an own instance.

`python -m benchmarks.sensor_steps new_data LANDING FOLDER` or `… new_version VERSIONS FOLDER`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context

from benchmarks.measured import Steps
from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.components.naming import data_versions
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.models.specification import ModelSpecification
from resources import StoreResource

_AT_ONCE = 1_000  # partitions added in one call; Dagster takes long over more
_DATASET = "chips"
_MODEL = "chips_forest"


def main(sensor: str, argument: str, folder: str) -> None:
    """Take a tick with something new, and one when nothing has changed since."""
    home = Path(folder) / "dagster"
    home.mkdir(parents=True)
    landing = argument if sensor == "new_data" else f"{folder}/landing"
    definitions = _definitions(landing, StoreResource(workspace=f"{folder}/workspace"))
    cursor = None
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        if sensor == "new_version":
            names = [f"v{number}" for number in range(1, int(argument) + 1)]
            for start in range(0, len(names), _AT_ONCE):
                instance.add_dynamic_partitions(
                    data_versions(_DATASET).name or "", names[start : start + _AT_ONCE]
                )
            cursor = json.dumps(names[:-1])
        name = f"{_DATASET if sensor == 'new_data' else _MODEL}_{sensor}"
        _ticks(definitions, name, instance, cursor)


def _definitions(landing: str, store: StoreResource) -> dg.Definitions:
    """A project with one dataset and one model, as its YAML would give."""
    dataset = {
        "name": _DATASET,
        "source": {"url": landing, "layout": "image_folder"},
        "sensor": {"settle_seconds": 0},
    }
    model = {
        "name": _MODEL,
        "dataset": _DATASET,
        "task": "classification",
        "trainer": "mlops_assets.training.trainers.sklearn:train",
        "params": {"estimator": "sklearn.ensemble.RandomForestClassifier"},
        "auto_train": True,
    }
    # components do not use the location of the YAML
    nowhere: Any = None
    return dg.Definitions.merge(
        TrainingDataset(DatasetSpecification.model_validate(dataset)).build_defs(nowhere),
        TrainedModel(ModelSpecification.model_validate(model)).build_defs(nowhere),
        dg.Definitions(resources={"store": store}),
    )


def _ticks(
    definitions: dg.Definitions, name: str, instance: dg.DagsterInstance, cursor: str | None
) -> None:
    taken = Steps()
    requests = []
    sensor = definitions.resolve_sensor_def(name)
    resources = dict(definitions.resources or {})
    for tick in ("something new", "nothing new"):
        with (
            partition_loading_context(dynamic_partitions_store=instance),
            dg.build_sensor_context(
                instance, cursor, definitions=definitions, resources=resources
            ) as context,
            taken.step(tick),
        ):
            found = sensor.evaluate_tick(context)
        cursor = found.cursor
        requests.append(len(found.run_requests or []))
    if requests != [1, 0]:
        raise RuntimeError(f"{name} asked for {requests} runs, not for 1 and 0")
    taken.report()


if __name__ == "__main__":
    main(*sys.argv[1:])
