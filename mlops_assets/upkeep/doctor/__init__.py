"""Examination of an installation and of the workspace it uses: one finding a check, each alone.

What Dagster has is examined in `mlops_assets.orchestration`.
"""

from mlops_assets.upkeep.doctor.configuration import examine_configuration
from mlops_assets.upkeep.doctor.contents import examine_files
from mlops_assets.upkeep.doctor.finding import WARNING, Finding, examined
from mlops_assets.upkeep.doctor.installation import examine_installation
from mlops_assets.upkeep.doctor.keys import examine_keys
from mlops_assets.upkeep.doctor.machine import examine_disks, examine_gpus
from mlops_assets.upkeep.doctor.registry import examine_registry
from mlops_assets.upkeep.doctor.workspace import examine_workspace

__all__ = [
    "WARNING",
    "Finding",
    "examine_configuration",
    "examine_disks",
    "examine_files",
    "examine_gpus",
    "examine_installation",
    "examine_keys",
    "examine_registry",
    "examine_workspace",
    "examined",
]
