"""The output of `dg scaffold defs`: a complete declaration that only needs your names."""

import dagster as dg
from pydantic import BaseModel


class TrainingDatasetScaffolder(dg.Scaffolder[BaseModel]):
    """Writes a table dataset called like its folder."""

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        """Write `defs.yaml`."""
        name = request.target_path.name
        table = {"label": "label"}
        dg.scaffold_component(
            request,
            {"name": name, "source": {"url": f"landing/{name}", "layout": "table", "table": table}},
        )


class TrainedModelScaffolder(dg.Scaffolder[BaseModel]):
    """Writes a random forest called like its folder; name the dataset."""

    def scaffold(self, request: dg.ScaffoldRequest[BaseModel]) -> None:
        """Write `defs.yaml`."""
        attributes = {
            "name": request.target_path.name,
            "dataset": "DATASET",
            "task": "classification",
            "trainer": "mlops_assets.training.trainers.sklearn:train",
            "params": {"estimator": "sklearn.ensemble.RandomForestClassifier"},
        }
        dg.scaffold_component(request, attributes)
