"""The folder of an image that serves one model version, without workspace or registry."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.serving.specification import ServiceSpecification


def write_docker(
    source: ExportSource, specification: ServiceSpecification, folder: Path
) -> list[str]:
    """Write the folder of an image."""
    source.copy_onnx(folder / "model" / "model.onnx")
    return []
