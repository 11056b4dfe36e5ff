"""Components that a user declares in YAML.

TrainingDataset, ProcessedDataset and TrainedModel are each turned into assets, checks and sensors.

Only wiring lives here; what an asset does is one call into the core.
"""

from mlops_assets.components.processed_dataset import ProcessedDataset
from mlops_assets.components.project.load import load_project
from mlops_assets.components.trained_model import TrainedModel
from mlops_assets.components.training_dataset import TrainingDataset

__all__ = ["ProcessedDataset", "TrainedModel", "TrainingDataset", "load_project"]
