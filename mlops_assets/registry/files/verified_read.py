"""Published files, read and compared with their checksums before they are used.

The ONNX file of a version that is used from another workspace is read there.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from mlops_assets.errors import IntegrityError, StorageError
from mlops_assets.paths import model_folder, shared_key, shared_of_key
from mlops_assets.registry.files.publication import complete_publications
from mlops_assets.registry.model_documents import Metrics, SharedModel
from mlops_assets.registry.store import Registry
from mlops_assets.storage import FileStat, Workspace, sha256_of
from mlops_assets.storage.other_workspace import open_other_workspace


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
    recorded, shared = _recorded(workspace, registry, key)
    if shared is None:
        return workspace.local_path(key, sha256_of(read_published(workspace, registry, key)))
    with _in_other_workspace(workspace, key, shared) as other:
        if other.is_local and other.stat(shared.onnx_key).sha256 != recorded.sha256:
            raise _changed(other, shared)
        return other.local_path(shared.onnx_key, recorded.sha256)


def shared_model(
    workspace: Workspace, registry: Registry, model: str, version: str
) -> SharedModel | None:
    """Return what a model version is in the workspace that it is used from; None if it is of here.

    Raises:
        IntegrityError: the document is not as it was published.
    """
    key = shared_key(model, version)
    if not registry.files_at(key):
        return None
    return SharedModel.model_validate_json(read_published(workspace, registry, key))


class _Recorded(NamedTuple):
    """A published file, and the version in another workspace that has its bytes, if so."""

    file: FileStat
    shared: SharedModel | None


def _recorded(workspace: Workspace, registry: Registry, key: str) -> _Recorded:
    kept_by = shared_of_key(key)
    wanted = [key] if kept_by is None else [key, kept_by]
    found = {file.path: file for file in registry.files_at(*wanted)}
    if key not in found:
        raise StorageError(f"{key} was never published; run the step that makes it first")
    if kept_by not in found:
        return _Recorded(found[key], None)
    document = read_published(workspace, registry, str(kept_by))
    return _Recorded(found[key], SharedModel.model_validate_json(document))


@contextmanager
def _in_other_workspace(workspace: Workspace, key: str, shared: SharedModel) -> Iterator[Workspace]:
    """Open the workspace that has the bytes of a file; its errors name that file."""
    try:
        yield open_other_workspace(shared.workspace, workspace.cache)
    except (IntegrityError, StorageError) as error:
        raise type(error)(
            f"{key} is used from another workspace, where {shared.reference} has it: {error}"
        ) from error.__cause__


def _changed(other: Workspace, shared: SharedModel) -> IntegrityError:
    return IntegrityError(
        f"{other.where(shared.onnx_key)} has other bytes than when it was taken into use; ask"
        " whoever runs that workspace to restore it"
    )


def _matching(workspace: Workspace, registry: Registry, key: str) -> bytes | None:
    recorded, shared = _recorded(workspace, registry, key)
    if shared is not None:
        with _in_other_workspace(workspace, key, shared) as other:
            content = other.get(shared.onnx_key)
            if sha256_of(content) != recorded.sha256:
                raise _changed(other, shared)
            return content
    content = workspace.get(key)
    return content if sha256_of(content) == recorded.sha256 else None


def stat_published(
    workspace: Workspace, registry: Registry, file: FileStat
) -> tuple[FileStat, FileStat]:
    """Read a published file again; return its published checksum and size, and the present ones.

    If they differ, interrupted publications are completed, and it is read once more.

    Raises:
        StorageError: it is missing or cannot be read.
        IntegrityError: it is in another workspace, and has other bytes there.
    """
    if shared_of_key(file.path) is not None:
        recorded, shared = _recorded(workspace, registry, file.path)
        if shared is not None:
            with _in_other_workspace(workspace, file.path, shared) as other:
                there = other.stat(shared.onnx_key)
                if there.sha256 != recorded.sha256:
                    raise _changed(other, shared)
                return recorded, there
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
