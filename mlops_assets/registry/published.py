"""Reading published files: bytes are held against their published checksum before anybody uses them."""

from __future__ import annotations

import json

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.registry.store import Registry
from mlops_assets.storage import Workspace, sha256_of


def read_published(workspace: Workspace, registry: Registry, key: str) -> bytes:
    """Return the content of a published file.

    Raises:
        StorageError: it was never published, or is missing.
        IntegrityError: its bytes have changed.
    """
    recorded = registry.files_at(key)
    if not recorded:
        raise StorageError(f"{key} was never published; run the step that makes it first")
    content = workspace.get(key)
    if sha256_of(content) != recorded[0].sha256:
        raise IntegrityError(f"{key} is not as it was published; restore it from a backup")
    return content


def unmeasured_classes(workspace: Workspace, registry: Registry, model: str, version: str) -> list[str]:
    """Return the classes that no metric of a model version is of, as the test split has no sample of them.

    Raises:
        IntegrityError: its metrics are not as they were published.
    """
    key = f"models/{model}/{version}/metrics.json"
    if not registry.files_at(key):  # it was not measured at all
        return []
    measured = json.loads(read_published(workspace, registry, key)).get("per_class", [])
    return [str(entry["class"]) for entry in measured if entry.get("samples") == 0]
