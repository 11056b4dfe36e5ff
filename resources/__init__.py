"""Dagster resources: thin wrappers that hand the core to assets."""

from resources.mlflow import MlflowMirror
from resources.step_values import step_values
from resources.store import StoreResource

__all__ = ["MlflowMirror", "StoreResource", "step_values"]
