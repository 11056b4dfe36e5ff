"""The registry as one object. Every change is one transaction, published whole or not at all."""

from __future__ import annotations

from functools import lru_cache

from mlops_assets.registry.data_versions import DataVersions
from mlops_assets.registry.files.landed_files import LandedFiles
from mlops_assets.registry.locks import Locks
from mlops_assets.registry.model_versions import ModelVersions
from mlops_assets.registry.runs import Runs
from mlops_assets.registry.session import now
from mlops_assets.registry.tokens import Tokens

__all__ = ["Registry", "now", "open_registry"]


class Registry(DataVersions, Runs, ModelVersions, LandedFiles, Tokens, Locks):
    """The registry at one SQLAlchemy URL."""


@lru_cache(maxsize=8)
def open_registry(url: str) -> Registry:
    """Return the registry at `url`, opened once a process."""
    return Registry(url)
