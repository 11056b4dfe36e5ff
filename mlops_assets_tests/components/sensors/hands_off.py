"""A project that is left to a real Dagster daemon.

Two datasets have one landing. A model trains on the first; its trainer waits for the file `go`.

Usage: python -m mlops_assets_tests.components.sensors.hands_off SECONDS_BETWEEN_RELOADS
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import dagster as dg
from dagster._daemon import controller
from dagster._daemon.cli import run_command
from pydantic import BaseModel
from sklearn.naive_bayes import GaussianNB

from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.datasets.loading.training_data import TrainingData
from mlops_assets.training.run import TrainingRun
from mlops_assets_tests.components.project import model_specification
from mlops_assets_tests.conftest import table_specification
from resources import MlflowMirror, StoreResource

FRAMEWORK = "scikit-learn"
BEGUN, GO = Path("begun"), Path("go")


class Params(BaseModel):
    """None."""


def train(data: TrainingData, params: Params, run: TrainingRun) -> GaussianNB:
    """Wait for a file, then train."""
    with BEGUN.open("a") as begun:
        begun.write(f"{data.reference}\n")
    while not GO.exists():
        time.sleep(0.1)
    return GaussianNB().fit(*data.arrays("train"))


@dg.definitions
def defs() -> dg.Definitions:
    """Return a dataset with a model that trains on it, and one without."""
    watched = {"status": "running", "interval_seconds": 5, "settle_seconds": 0}
    source = {"url": "landing/fields", "layout": "table", "table": {"label": "crop"}}
    fields, plots = (
        table_specification(name, source=source, sensor=watched) for name in ("fields", "plots")
    )
    model = model_specification(auto_train=True, trainer=f"{__name__}:train", params={}, gates=[])
    built = [
        component.build_defs(None)  # type: ignore[arg-type]
        for component in (TrainingDataset(fields), TrainingDataset(plots), TrainedModel(model))
    ]
    resources = {"store": StoreResource(), "mlflow": MlflowMirror()}
    return dg.Definitions.merge(
        *built, dg.Definitions(resources=resources, executor=dg.in_process_executor)
    )


if __name__ == "__main__":
    # the code location is reloaded that often, by default once a minute
    controller.RELOAD_WORKSPACE_INTERVAL = int(sys.argv[1])
    run_command(["-m", "mlops_assets_tests.components.sensors.hands_off"])
