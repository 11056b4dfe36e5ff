"""The engines that files are written for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from mlops_assets.integrations.deployment.cluster import write_kserve, write_seldon, write_triton
from mlops_assets.integrations.deployment.image.write import write_docker
from mlops_assets.integrations.model_export.source import ExportSource
from mlops_assets.serving.specification import Engine, ServiceSpecification

# writes the files into a folder; returns the commands that bring them into use, with `{current}`
# for the link to the folder
Writer = Callable[[ExportSource, ServiceSpecification, Path], list[str]]
WRITERS: Mapping[Engine, Writer] = {
    "docker": write_docker,
    "kserve": write_kserve,
    "seldon": write_seldon,
    "triton": write_triton,
}
