"""Published files, read and compared with their checksums before they are used."""

from __future__ import annotations

from pathlib import Path

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import model_folder
from mlops_assets.registry.files.publication import complete_publications
from mlops_assets.registry.model_documents import Metrics
from mlops_assets.registry.store import Registry
from mlops_assets.storage import FileStat, Workspace, sha256_of


def read_published(workspace: Workspace, registry: Registry, key: str) -> bytes:
    """Return the content of a published file.

    Raises:
        StorageError: it was never published, or is missing.
        IntegrityError: its bytes have changed.
    """
    content = _matching(workspace, registry, key)
    if content is None:  # its publication was interrupted, or ends just now
        complete_publications(workspace, registry)
        content = _matching(workspace, registry, key)
    if content is None:
        raise IntegrityError(f"{key} is not as it was published; restore it from a backup")
    return content


def published_path(workspace: Workspace, registry: Registry, key: str) -> Path:
    """Return a local path of a published file whose bytes are still those that were published.

    Raises:
        StorageError: it was never published, or is missing.
        IntegrityError: its bytes have changed.
    """
    content = read_published(workspace, registry, key)
    return workspace.local_path(key, sha256_of(content))


def _matching(workspace: Workspace, registry: Registry, key: str) -> bytes | None:
    recorded = registry.files_at(key)
    if not recorded:
        raise StorageError(f"{key} was never published; run the step that makes it first")
    content = workspace.get(key)
    return content if sha256_of(content) == recorded[0].sha256 else None


def stat_published(
    workspace: Workspace, registry: Registry, file: FileStat
) -> tuple[FileStat, FileStat]:
    """Read a published file again; return its published checksum and size, and the present ones.

    If they differ, interrupted publications are completed, and it is read once more.

    Raises:
        StorageError: it is missing or cannot be read.
    """
    found = workspace.stat(file.path)
    if found.sha256 != file.sha256:
        complete_publications(workspace, registry)
        file = next(iter(registry.files_at(file.path)), file)
        found = workspace.stat(file.path)
    return file, found


def published_metrics(
    workspace: Workspace, registry: Registry, model: str, version: str
) -> Metrics | None:
    """Return the `metrics.json` of a model version, or None if it was not measured.

    Raises:
        IntegrityError: it is not as it was published.
    """
    key = f"{model_folder(model, version)}/metrics.json"
    if not registry.files_at(key):
        return None
    return Metrics.model_validate_json(read_published(workspace, registry, key))


def unmeasured_classes(
    workspace: Workspace, registry: Registry, model: str, version: str
) -> list[str]:
    """Return the classes of a model version without metrics, as no test sample is of them.

    Raises:
        IntegrityError: its metrics are not as they were published.
    """
    metrics = published_metrics(workspace, registry, model, version)
    return [] if metrics is None else metrics.unmeasured
