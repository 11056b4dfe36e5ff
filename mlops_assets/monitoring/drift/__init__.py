"""Drift of logged samples against training samples, and the quality of logged samples.

References are made and read in `mlops_assets.models.reference`; limits are in `monitoring.rules`.
"""

from mlops_assets.models.reference.publish import find_reference, reference_of
from mlops_assets.models.reference.training import TrainingReference
from mlops_assets.monitoring.drift.measure import drift, quality

__all__ = ["TrainingReference", "drift", "find_reference", "quality", "reference_of"]
