"""A small project for tests: one table, one model, as Dagster definitions over ./workspace."""

from __future__ import annotations

import dagster as dg

from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.models.specification import ModelSpecification
from mlops_assets_tests.conftest import table_specification
from resources import MlflowMirror, StoreResource

FOREST = {"estimator": "sklearn.ensemble.RandomForestClassifier", "n_estimators": 5}


def model_specification(**changes: object) -> ModelSpecification:
    """A forest on the table of `table_specification`; `changes` replace attributes."""
    attributes: dict[str, object] = {
        "name": "crop_forest",
        "dataset": "fields",
        "task": "classification",
        "trainer": "mlops_assets.training.trainers.sklearn:train",
        "params": FOREST,
        "gates": [{"metric": "accuracy", "min": 0.5}],
    }
    return ModelSpecification.model_validate(attributes | changes)


def definitions(
    dataset: DatasetSpecification | None = None, /, **changes: object
) -> dg.Definitions:
    """The project's definitions.

    Args:
        dataset: by default the table of `table_specification`.
        changes: replace attributes of the model.
    """
    components = [
        TrainingDataset(dataset or table_specification()),
        TrainedModel(model_specification(**changes)),
    ]
    built = [component.build_defs(None) for component in components]  # type: ignore[arg-type]
    common = dg.Definitions(
        resources={"store": StoreResource(), "mlflow": MlflowMirror()},
        executor=dg.in_process_executor,
    )
    return dg.Definitions.merge(*built, common)


def interrupted_job() -> dg.JobDefinition:
    """A lifecycle whose trainer is killed in its first attempt and keeps checkpoints."""
    params = {"die_at": 4}
    trainer = "mlops_assets_tests.training.process.supervised:stepwise"
    return definitions(trainer=trainer, params=params, gates=[]).resolve_job_def(
        "crop_forest_lifecycle"
    )


def hanging_job() -> dg.JobDefinition:
    """A lifecycle whose trainer never ends."""
    trainer = "mlops_assets_tests.training.process.supervised:behave"
    return definitions(trainer=trainer, params={"does": "hang"}).resolve_job_def(
        "crop_forest_lifecycle"
    )


def chatty_job() -> dg.JobDefinition:
    """A lifecycle whose trainer prints and logs in every epoch; the first waits for `./go`."""
    params = {"epochs": 3, "waits_for": "go", "megabytes": 100}
    trainer = "mlops_assets_tests.training.process.supervised:chatty"
    return definitions(trainer=trainer, params=params, gates=[]).resolve_job_def(
        "crop_forest_lifecycle"
    )


def lifecycle_job() -> dg.JobDefinition:
    """The lifecycle job, so that it can be re-executed from failure."""
    return definitions().resolve_job_def("crop_forest_lifecycle")
