"""The project of the cluster: one table, and one network whose steps want a GPU."""

from __future__ import annotations

import dagster as dg

from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.components.project.load import project_executor, project_resources
from mlops_assets.models.specification import ModelSpecification
from mlops_assets_tests.components.project import model_specification
from mlops_assets_tests.conftest import table_specification

COMPUTE = {
    "cpus": 1,
    "memory": "8Gi",
    "gpus": 1,
    "gpu_type": "NVIDIA-A100-SXM4-80GB",
    "node_selector": {"pool": "training"},
    "tolerations": [{"key": "spot", "operator": "Exists"}],
    "shared_memory": "1Gi",
    "deadline": 3600,
}

# of the job `training`: one step that wants a GPU, and one that wants none
STEPS = ("trained_model", "onnx_model")


def network() -> ModelSpecification:
    """The model: small, with random draws, and a checkpoint at every other step."""
    return model_specification(
        trainer="mlops_assets_tests.training.process.supervised:stepwise",
        params={"steps": 6},
        gates=[],
        compute=COMPUTE,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The project's definitions."""
    model = network()
    components = [TrainingDataset(table_specification()), TrainedModel(model)]
    built = [component.build_defs(None) for component in components]  # type: ignore[arg-type]
    training = dg.define_asset_job(
        "training", dg.AssetSelection.assets(*([model.name, step] for step in STEPS))
    )
    common = dg.Definitions(
        resources=project_resources(), executor=project_executor(), jobs=[training]
    )
    return dg.Definitions.merge(*built, common)
