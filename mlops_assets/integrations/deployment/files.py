"""The folder that a deployment's files are in: a new one for each deployment, under one link.

`OUT/current` is a link that is replaced at once, so that whoever reads through it finds all files
of one deployment; former ones stay beside it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from mlops_assets.errors import StorageError
from mlops_assets.serving.specification import ServiceSpecification
from mlops_assets.storage.scratch import scratch_folder
from mlops_assets.store import Store

CURRENT = "current"
# keys of the details of a deployment
FOLDER = "folder"
HOST = "host"
FILE = "file:"
BYTECODE = "__pycache__"
# files of a folder whose checksums are recorded one by one
MAX_LISTED = 50
_CHUNK = 1 << 20


def out_folder(store: Store, specification: ServiceSpecification) -> Path:
    """Return the folder of a service's files, which is not among published ones.

    Raises:
        StorageError: it is declared inside the workspace.
    """
    cache = store.workspace.cache.resolve()
    if specification.out is None:
        return cache / "deployments" / specification.name
    target = Path(specification.out).expanduser().resolve()
    local = urlsplit(store.workspace.url).scheme == "file"
    inside = local and target.is_relative_to(store.workspace.root.resolve())
    if inside and not target.is_relative_to(cache):
        raise StorageError(
            f"out: {specification.out} of {specification.name} is inside the workspace; name a"
            " folder outside of it"
        )
    return target


def write_folder(
    out: Path, version: str, write: Callable[[Path], list[str]]
) -> tuple[Path, dict[str, str], list[str]]:
    """Write the files of a deployment in a new folder, and make it the current one.

    The folder is named by the version and the checksums of its files, so that the same files are
    written once.

    Args:
        out: the folder of the service.
        version: of the model.
        write: writes the files into the folder that it is called with.

    Returns:
        The folder, the sha256 of each file by its path, and what `write` has returned.

    Raises:
        StorageError: they cannot be written; what was current stays so.
    """
    with scratch_folder("deployment", out) as scratch:
        whole = scratch / "files"
        whole.mkdir()
        try:
            result = write(whole)
            files = checksums(whole)
            target = out / f"{version}-{digest_of(files)[:12]}"
            if not target.is_dir() or checksums(target) != files:
                # what somebody has changed is written again
                shutil.rmtree(target, ignore_errors=True)
                whole.rename(target)
            _point(out / CURRENT, target.name, scratch)
        except OSError as error:
            raise StorageError(
                f"{out} could not be written: {error.strerror}; free space or declare another 'out'"
            ) from error
    return target, files, result


def remove_current(out: Path) -> None:
    """Remove the link to the current files; the files stay.

    Raises:
        StorageError: it cannot be removed.
    """
    link = out / CURRENT
    try:
        if link.is_symlink():
            link.unlink()
    except OSError as error:
        raise StorageError(f"{link} cannot be removed: {error.strerror}; remove it") from error


def checksums(folder: Path) -> dict[str, str]:
    """Return the sha256 of each file of a folder by its path, sorted; bytecode is left out."""
    found = sorted(
        path for path in folder.rglob("*") if path.is_file() and BYTECODE not in path.parts
    )
    return {path.relative_to(folder).as_posix(): checksum(path) for path in found}


def summary(files: Mapping[str, str]) -> dict[str, str]:
    """Return checksums by path, where a large folder has one: its name ends with a slash.

    Args:
        files: path → sha256.
    """
    folders: dict[str, dict[str, str]] = {}
    for path, sha256 in files.items():
        first, _, rest = path.partition("/")
        folders.setdefault(first, {})[rest] = sha256
    found: dict[str, str] = {}
    for first, own in folders.items():
        if len(own) > MAX_LISTED:
            found[f"{first}/"] = digest_of(own)
        else:
            found |= {f"{first}/{rest}" if rest else first: own[rest] for rest in own}
    return found


def checksum(path: Path) -> str:
    """Return the sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def digest_of(files: Mapping[str, str]) -> str:
    """Return a digest over the checksums of files.

    Args:
        files: path → sha256, sorted.
    """
    text = "".join(f"{sha256}  {path}\n" for path, sha256 in files.items())
    return hashlib.sha256(text.encode()).hexdigest()


def _point(link: Path, target: str, scratch: Path) -> None:
    if link.exists() and not link.is_symlink():
        raise StorageError(f"{link} is not a link of a deployment; move it away")
    made = scratch / CURRENT
    made.symlink_to(target)
    made.replace(link)
