"""A folder in MLflow's model format, which `mlflow models serve` runs."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.extras import needs
from mlops_assets.integrations.model_export.source import ExportSource


def write(source: ExportSource, folder: Path) -> list[str]:
    """Write the model with its signature, requirements and provenance; there are no warnings.

    Raises:
        MissingExtra: MLflow's client is not installed.
    """
    with needs("mlflow", "the export for MLflow"):
        from mlflow.models import Model

        from mlops_assets.integrations.mlflow.register import write_model_folder

    write_model_folder(source.onnx, folder, Model(metadata=source.provenance))
    return []
