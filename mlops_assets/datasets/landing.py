"""The place where a dataset's new files arrive: listing it and telling whether it has changed.

Nothing here reads what is in the files.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mlops_assets.errors import EmptyLanding, StorageError
from mlops_assets.storage import Workspace


@dataclass(frozen=True)
class LandedFile:
    """One file of a landing: its POSIX path below the landing, size in bytes, and modification time."""

    path: str
    local: Path
    size: int
    modified_ns: int

    def unchanged(self) -> bool:
        """Say whether the file is still as it was when it was listed."""
        try:
            found = self.local.stat()
        except FileNotFoundError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.size, self.modified_ns)


def landing_folder(workspace: Workspace, url: str) -> Path:
    """Return the folder of a landing given relative to the workspace, absolutely, or as a `file://` URL."""
    parts = urlsplit(url)
    return Path(unquote(parts.path)) if parts.scheme == "file" else workspace.root / url


def list_landing(folder: Path) -> list[LandedFile]:
    """Return the files of a landing sorted by path; hidden files, and what links lead out to, are not landed.

    Raises:
        EmptyLanding: the folder is missing or has no file.
        StorageError: the folder cannot be read.
    """
    if not folder.is_dir():
        raise EmptyLanding(f"landing {folder} does not exist; make the folder and put training data into it")
    root = folder.resolve()
    files = []
    try:
        for path in folder.rglob("*"):
            relative = path.relative_to(folder)
            if any(part.startswith(".") for part in relative.parts) or not path.is_file():
                continue
            if not path.resolve().is_relative_to(root):
                raise StorageError(f"{path} links out of the landing; put the file itself there")
            stat = path.stat()
            files.append(LandedFile(relative.as_posix(), path, stat.st_size, stat.st_mtime_ns))
    except OSError as error:
        raise StorageError(f"landing {folder} could not be read: {error}; check its permissions") from error
    if not files:
        raise EmptyLanding(f"landing {folder} is empty; put training data into it")
    return sorted(files, key=lambda file: file.path)


def fingerprint(files: list[LandedFile]) -> str:
    """Return a cheap identity of a landing's state, from paths, sizes and times; no file is opened."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.size}\0{file.modified_ns}\n".encode())
    return digest.hexdigest()
