"""The definitions of the large project in a fresh process, and a tick of each of its sensors.

`python -m benchmarks.scale_steps` in the folder of the project.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Iterator, Sequence

import dagster as dg
from dagster._core.definitions.partitions.context import partition_loading_context
from dagster._core.remote_representation.external_data import RepositorySnap
from dagster_shared.serdes import serialize_value

from benchmarks.measured import Steps


def main() -> None:
    """Load as a code server does, then take a tick of each kind of sensor."""
    sys.path.insert(0, "")
    taken = Steps()
    with taken.step("definitions"):
        module = importlib.import_module("many_models.definitions")
        definitions: dg.Definitions = module.defs()
        repository = definitions.get_repository_def()
    with taken.step("snapshot for the web server"):
        snapshot = RepositorySnap.from_def(repository)
        size = len(serialize_value(snapshot))
    resources = dict(definitions.resources or {})
    with dg.DagsterInstance.get() as instance:
        for name, sensor in _one_of_a_kind(repository.sensor_defs):
            for tick in ("first", "next"):
                with (
                    partition_loading_context(dynamic_partitions_store=instance),
                    dg.build_sensor_context(
                        instance, definitions=definitions, resources=resources
                    ) as context,
                    taken.step(f"{name}, {tick} tick"),
                ):
                    sensor.evaluate_tick(context)
    taken.report(snapshot_mib=size / 2**20)


def _one_of_a_kind(
    sensors: Sequence[dg.SensorDefinition],
) -> Iterator[tuple[str, dg.SensorDefinition]]:
    """Return a sensor of each kind: of many models, that of the last one."""
    kinds = {re.sub(r"\d+", "N", sensor.name): sensor for sensor in sensors}
    yield from sorted(kinds.items())


if __name__ == "__main__":
    main()
