"""One of two daemons on one landing.

It evaluates the sensors, and runs what they ask for as the other does.

Usage: python -m mlops_assets_tests.faults.second_daemon DAGSTER_HOME NUMBER
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import dagster as dg

from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.components.naming import RUN_KEY
from mlops_assets_tests.components.daemon import Daemon
from mlops_assets_tests.components.project import model_specification
from mlops_assets_tests.conftest import table_specification
from resources import MlflowMirror, StoreResource

DAEMONS = 2
# by their sensors
JOBS = {
    "fields_new_data": "fields_landing",
    "crop_forest_new_version": "crop_forest_lifecycle",
}
WAITS = 120.0  # seconds for the other


def definitions() -> dg.Definitions:
    """A dataset whose landing settles at once, and a model trained on each of its versions."""
    components = [
        TrainingDataset(table_specification(sensor={"settle_seconds": 0})),
        TrainedModel(model_specification(auto_train=True)),
    ]
    built = [component.build_defs(None) for component in components]  # type: ignore[arg-type]
    resources = {"store": StoreResource(), "mlflow": MlflowMirror()}
    return dg.Definitions.merge(
        *built, dg.Definitions(resources=resources, executor=dg.in_process_executor)
    )


def main(home: str, number: int) -> None:
    """Evaluate both sensors as a daemon does, each until it asks for nothing more."""
    with dg.DagsterInstance.from_config(home) as instance:
        for sensor, job in (
            ("fields_new_data", "fields_landing"),
            ("crop_forest_new_version", "crop_forest_lifecycle"),
        ):
            daemon = Daemon(definitions(), sensor, instance)
            requests = daemon.tick()
            _wait_for_all(f"{sensor}-asked", number)
            for request in requests:
                if request.run_key and instance.get_runs(
                    dg.RunsFilter(tags={RUN_KEY: request.run_key})
                ):
                    continue
                _wait_for_all(f"{sensor}-runs", number)
                daemon.definitions.resolve_job_def(job).execute_in_process(
                    instance=instance,
                    partition_key=request.partition_key,
                    tags={**request.tags, RUN_KEY: str(request.run_key)},
                    raise_on_error=False,
                )
            _wait_for_all(f"{sensor}-done", number)
            assert daemon.tick() == [], "it asks again"


def _wait_for_all(what: str, number: int) -> None:
    Path(f"{what}-{number}").touch()
    deadline = time.monotonic() + WAITS
    while len(list(Path().glob(f"{what}-*"))) < DAEMONS:
        if time.monotonic() > deadline:
            raise TimeoutError(f"the other daemon is not there: {what}")
        time.sleep(0.02)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
