"""The published files of a model version, for downloads: its own, its record, its maps."""

from __future__ import annotations

import mimetypes
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.errors import NotFound
from mlops_assets.names import Reference
from mlops_assets.paths import (
    maps_owner,
    model_folder,
    model_owner,
    prediction_owner,
    record_owner,
)
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.files.verified_read import published_path
from mlops_assets.storage import FileStat
from mlops_assets.store import Store

_BINARY = "application/octet-stream"
# all else that a browser could run or lay out is downloaded
_SHOWN = ("image/png",)


@dataclass(frozen=True)
class PublishedFile:
    """A published file of a model version.

    Attributes:
        name: below the folder of the version; its key in the workspace if it is elsewhere.
        key: in the workspace.
        sha256: of its bytes.
        size: in bytes.
    """

    name: str
    key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class OpenedFile:
    """A published file whose bytes are those that were published.

    Attributes:
        path: of a local copy.
        name: for a download.
        sha256: of its bytes.
        media_type: of its content.
        inline: whether a browser may show it.
    """

    path: Path
    name: str
    sha256: str
    media_type: str
    inline: bool


def version_files(store: Store, reference: Reference) -> list[PublishedFile]:
    """Return the files of a model version, with its record; not those of its maps.

    Args:
        store: workspace and registry.
        reference: to the version.

    Raises:
        NotFound: there is none that the principal may see.
    """
    row = store.registry.model_version(reference)
    files = store.registry.files(
        model_owner(row.model, row.version), record_owner(row.model, row.version)
    )
    return [_published(row, file) for file in files]


def open_file(store: Store, reference: Reference, name: str) -> OpenedFile:
    """Return a published file of a model version, of its record or of one of its maps.

    Args:
        store: workspace and registry.
        reference: to the version.
        name: as `version_files` has it, or the key of a map's file.

    Raises:
        IntegrityError: its bytes have changed.
        NotFound: the version has no such file, or is not visible to the principal.
        StorageError: it is missing.
    """
    row = store.registry.model_version(reference)
    key = (row.model, row.version)
    owners = [owner(*key) for owner in (model_owner, record_owner, prediction_owner, maps_owner)]
    wanted = (name, f"{model_folder(*key)}/{name}")
    found = next((f for f in store.registry.files(*owners) if f.path in wanted), None)
    if found is None:
        raise NotFound(
            f"{row.model}@{row.version} has no file {name!r}; its files are listed by"
            f" 'mlops model show {row.model}@{row.version}'"
        )
    media_type = mimetypes.guess_type(found.path)[0] or _BINARY
    inline = media_type in _SHOWN
    return OpenedFile(
        path=published_path(store.workspace, store.registry, found.path),
        name=found.path.rpartition("/")[2],
        sha256=found.sha256,
        media_type=media_type if inline or media_type == "application/json" else _BINARY,
        inline=inline,
    )


def _published(row: ModelVersion, file: FileStat) -> PublishedFile:
    folder = f"{model_folder(row.model, row.version)}/"
    return PublishedFile(file.path.removeprefix(folder), file.path, file.sha256, file.size)
