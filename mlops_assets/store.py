"""The storage of a project, and the model version that a step works on."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mlops_assets.errors import NotFound
from mlops_assets.paths import model_folder, model_owner
from mlops_assets.principals import Principal
from mlops_assets.registry import ModelVersion, Registry, open_registry
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.settings import Settings
from mlops_assets.storage import FileStat, Workspace, sha256_of

_RUN_NAMESPACE = uuid.UUID("6f0b8f0e-52c6-4a6e-9d0e-3c2a6b6a7c11")


@dataclass(frozen=True)
class Store:
    """The storage of a project: its workspace and its registry, which knows who is acting.

    What the registry logs is mirrored in the workspace.
    """

    workspace: Workspace
    registry: Registry

    def __post_init__(self) -> None:
        """Bind the registry to the workspace."""
        object.__setattr__(self, "registry", self.registry.mirrored(self.workspace))

    @property
    def user(self) -> str:
        """The name of who is acting."""
        return self.registry.principal.name

    def acting(self, principal: Principal) -> Store:
        """Return this store for somebody else."""
        return replace(self, registry=self.registry.acting(principal))


def open_store(settings: Settings) -> Store:
    """Open the workspace and the registry that the settings name.

    Raises:
        StorageError: one of them cannot be opened.
    """
    # first the workspace: it makes the folder in which SQLite then makes the registry
    workspace = Workspace(settings.workspace, settings.cache)
    return Store(workspace, open_registry(settings.registry).acting(settings.principal))


def native_files(store: Store, row: ModelVersion) -> dict[str, FileStat]:
    """Return the native files of a model version by name."""
    prefix = f"{model_folder(row.model, row.version)}/native/"
    files = store.registry.files(model_owner(row.model, row.version))
    return {file.path.removeprefix(prefix): file for file in files if file.path.startswith(prefix)}


def published_path(store: Store, key: str) -> Path:
    """Return a local path of a published file whose bytes are still those that were published.

    Raises:
        StorageError: it was never published, or is missing.
        IntegrityError: its bytes have changed.
    """
    content = read_published(store.workspace, store.registry, key)
    return store.workspace.local_path(key, sha256_of(content))


def run_identifier(orchestration_run: str | None, model: str, data_version: str) -> str:
    """Return a run's id.

    Within one orchestrated run it is always the same, so that a retried step is the same run.
    """
    if orchestration_run is None:
        return str(uuid.uuid4())
    return str(uuid.uuid5(_RUN_NAMESPACE, f"{orchestration_run}/{model}/{data_version}"))


def version_for(
    registry: Registry, model: str, data_version: str, orchestration_runs: Sequence[str] = ()
) -> ModelVersion:
    """Return the model version a later stage works on.

    That of its own orchestrated run, else of the run it is a re-execution of (in the order given),
    else the data version's latest: two runs on one partition never mix.

    Raises:
        NotFound: the model was never trained on this data version.
    """
    versions = {
        row.run_id: row for row in registry.model_versions(model, data_version=data_version)
    }
    for orchestration_run in orchestration_runs:
        runs = registry.runs(model, data_version=data_version, orchestration_run=orchestration_run)
        found = [versions[run.run_id] for run in runs if run.run_id in versions]
        if found:
            return found[-1]
    if not versions:
        raise NotFound(
            f"{model} has not been trained on {data_version}; run 'mlops train"
            f" {model}@{data_version}'"
        )
    return next(reversed(versions.values()))
