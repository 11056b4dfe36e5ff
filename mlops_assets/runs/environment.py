"""The environment of a run as recorded: Python and the installed packages, with versions."""

from __future__ import annotations

import json

from mlops_assets.errors import IntegrityError
from mlops_assets.paths import model_folder
from mlops_assets.registry import Run
from mlops_assets.registry.files.verified_read import read_published
from mlops_assets.store import Store
from mlops_assets.text.json_values import JsonObject


def recorded_environment(store: Store, run: Run) -> dict[str, str] | None:
    """Return `python` and the packages that a run had installed, with their versions.

    None if they were not recorded.

    Raises:
        IntegrityError: the record has changed since it was written.
    """
    if run.environment is not None:
        try:
            content = store.workspace.get_object(run.environment)
        except IntegrityError as error:
            raise IntegrityError(
                f"the environment of run {run.run_id[:8]} has changed: {error}"
            ) from error
        return environment_versions(json.loads(content))
    document = _published(store, run, "environment.json")
    return None if document is None else environment_versions(json.loads(document))


def environment_versions(document: JsonObject) -> dict[str, str]:
    """Return the versions in a document of `provenance.environment` as one table."""
    packages = document.get("packages")
    versions = {"python": str(document.get("python", ""))}
    if isinstance(packages, dict):
        versions |= {name: str(version) for name, version in packages.items()}
    return versions


def _published(store: Store, run: Run, name: str) -> bytes | None:
    """Return the content of a document of a run's model version, or None if there is none."""
    if run.model_version is None:
        return None
    key = f"{model_folder(run.model, run.model_version)}/{name}"
    if not store.registry.files_at(key):
        return None
    return read_published(store.workspace, store.registry, key)
