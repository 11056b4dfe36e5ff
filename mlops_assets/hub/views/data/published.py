"""Published files as keys of caches: what is computed from one is the same for its checksum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from mlops_assets.datasets.versions.version_document import VersionDocument
from mlops_assets.errors import IntegrityError
from mlops_assets.paths import version_folder
from mlops_assets.registry import DataVersion
from mlops_assets.registry.files.verified_read import published_path, read_published
from mlops_assets.store import Store

_AT_ONCE = 500  # keys in one statement


@dataclass(frozen=True)
class PublishedFile:
    """A published file; two are equal if their bytes are.

    Attributes:
        sha256: of its bytes.
        key: in the workspace.
        store: reads it.
    """

    sha256: str
    key: str = field(compare=False)
    store: Store = field(compare=False, repr=False)

    def content(self) -> bytes:
        """Return its bytes.

        Raises:
            IntegrityError: it is not as it was published.
            StorageError: it cannot be read.
        """
        return read_published(self.store.workspace, self.store.registry, self.key)

    def path(self) -> Path:
        """Return a local path of it, for large files that are read in parts; errors as above.

        Its bytes are hashed once, and again if the file was written since.
        """
        path, state = _verified(self)
        if _state(path) != state:
            return published_path(self.store.workspace, self.store.registry, self.key)
        return path


@lru_cache(maxsize=64)
def _verified(file: PublishedFile) -> tuple[Path, tuple[int, int, int] | None]:
    """Return a local path of a file whose bytes were hashed, and its state at that time."""
    path = published_path(file.store.workspace, file.store.registry, file.key)
    return path, _state(path)


def _state(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:  # whoever reads it then reports that
        return None
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


def files_of(
    store: Store, rows: Sequence[DataVersion], name: str
) -> dict[tuple[str, str], PublishedFile]:
    """Return a file of each of several data versions, such as `quality.json`.

    Args:
        store: has them.
        rows: the data versions.
        name: of the file.

    Returns:
        Dataset and version → the file; versions without one are left out.
    """
    keys = {
        f"{version_folder(row.dataset, row.version)}/{name}": (row.dataset, row.version)
        for row in rows
    }
    wanted = list(keys)
    found = {}
    for start in range(0, len(wanted), _AT_ONCE):
        for file in store.registry.files_at(*wanted[start : start + _AT_ONCE]):
            found[keys[file.path]] = PublishedFile(file.sha256, file.path, store)
    return found


def file_of(store: Store, row: DataVersion, name: str) -> PublishedFile | None:
    """Return a file of a data version; None if it has none of that name."""
    return files_of(store, [row], name).get((row.dataset, row.version))


def required_file(store: Store, row: DataVersion, name: str) -> PublishedFile:
    """Return a file that every data version has.

    Raises:
        IntegrityError: the registry has no such file.
    """
    found = file_of(store, row, name)
    if found is None:
        raise IntegrityError(
            f"{row.dataset}@{row.version} has no {name}; restore the registry from a backup"
        )
    return found


@lru_cache(maxsize=64)
def document_in(file: PublishedFile) -> VersionDocument:
    """Return the content of a `version.json`.

    Raises:
        IntegrityError: it is not as it was published.
    """
    return VersionDocument.model_validate_json(file.content())
