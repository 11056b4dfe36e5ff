"""Components that a user declares in YAML.

TrainingDataset, ProcessedDataset, TrainedModel, PredictionArea and ModelService are each turned
into assets, checks and sensors.

Only wiring lives here; what an asset does is one call into the core.
"""

from mlops_assets.components.areas.prediction_area import PredictionArea
from mlops_assets.components.processed_dataset import ProcessedDataset
from mlops_assets.components.project.load import load_project
from mlops_assets.components.services.model_service import ModelService
from mlops_assets.components.trained_model import TrainedModel
from mlops_assets.components.training_dataset import TrainingDataset

__all__ = [
    "ModelService",
    "PredictionArea",
    "ProcessedDataset",
    "TrainedModel",
    "TrainingDataset",
    "load_project",
]
