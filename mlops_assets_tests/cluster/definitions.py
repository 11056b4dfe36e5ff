"""The project of the cluster: one table, and one network whose steps want a GPU."""

from __future__ import annotations

import dagster as dg

from mlops_assets.components import TrainedModel, TrainingDataset
from mlops_assets.components.project.load import project_executor, project_resources
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


@dg.definitions
def defs() -> dg.Definitions:
    """The project's definitions."""
    model = model_specification(
        trainer="mlops_assets_tests.training.process.supervised:stepwise",
        params={"steps": 6},
        gates=[],
        compute=COMPUTE,
    )
    components = [TrainingDataset(table_specification()), TrainedModel(model)]
    built = [component.build_defs(None) for component in components]  # type: ignore[arg-type]
    common = dg.Definitions(resources=project_resources(), executor=project_executor())
    return dg.Definitions.merge(*built, common)
