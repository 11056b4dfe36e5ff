"""Metadata registry: data versions, runs, metrics, model versions, aliases.

The registry holds facts and relations in SQL; the bytes lie in the workspace.
"""

from mlops_assets.registry.schema import (
    Alias,
    Checkpoint,
    DataVersion,
    File,
    ModelVersion,
    Promotion,
    Run,
    Token,
)
from mlops_assets.registry.store import Registry, open_registry

__all__ = [
    "Alias",
    "Checkpoint",
    "DataVersion",
    "File",
    "ModelVersion",
    "Promotion",
    "Registry",
    "Run",
    "Token",
    "open_registry",
]
