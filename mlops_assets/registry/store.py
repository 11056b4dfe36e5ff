"""The registry as one object. Every change is one transaction, published whole or not at all."""

from __future__ import annotations

from functools import lru_cache

from mlops_assets.registry.data_versions import DataVersions
from mlops_assets.registry.files.landed_files import LandedFiles
from mlops_assets.registry.files.packed_objects import PackedObjects
from mlops_assets.registry.locks import Locks
from mlops_assets.registry.model_versions import ModelVersions
from mlops_assets.registry.runs import Runs
from mlops_assets.registry.session import now
from mlops_assets.registry.tokens import Tokens

__all__ = ["Registry", "now", "open_registry"]


class Registry(DataVersions, Runs, ModelVersions, LandedFiles, PackedObjects, Tokens, Locks):
    """The registry at one SQLAlchemy URL: versions, runs, files, tokens and locks.

    A change is one transaction with one entry in the log, published whole or not at all. Every
    method may raise Forbidden if the principal does not have the role it needs, and StorageError if
    the database cannot be read or written.

    Attributes:
        url: SQLAlchemy URL.
        principal: reads and changes the registry through this object.
    """


@lru_cache(maxsize=8)
def open_registry(url: str) -> Registry:
    """Return a registry, opened once a process.

    Args:
        url: SQLAlchemy URL.

    Raises:
        SettingsError: the URL is not valid.
        StorageError: the database cannot be opened, or was written by a newer release.
    """
    return Registry(url)
