"""Files that replace published ones: all of them or none, whenever the process is killed.

New content is staged beside the old; the transaction that records its checksums is the moment of
publication; then it is moved to its place. What a killed process leaves in between is moved by the
next one that publishes anything, or that finds such a file changed.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlops_assets.errors import IntegrityError
from mlops_assets.paths import STAGED
from mlops_assets.principals import Role
from mlops_assets.registry.store import Registry
from mlops_assets.storage import FileStat, Workspace, sha256_of

_LOCK = "files that replace others"  # can be no name of a dataset, which has a lock of its own

log = logging.getLogger(__name__)


class Publication:
    """Files that the next transaction publishes.

    Attributes:
        files: the files put, for the methods of the registry that record files.
    """

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        self._workspace = workspace
        self._registry = registry
        self.files: list[FileStat] = []

    def put(self, key: str, content: bytes | Path) -> FileStat:
        """Write one file; return its checksum and size, to be recorded.

        Raises:
            StorageError: it could not be written.
        """
        return self.put_all({key: content})[0]

    def put_all(self, contents: Mapping[str, bytes | Path]) -> list[FileStat]:
        """Write files, given as key → content; return their checksums and sizes, to be recorded.

        Raises:
            StorageError: one could not be written.
        """
        published = {file.path: file.sha256 for file in self._registry.files_at(*contents)}
        found = []
        for key, content in contents.items():
            staged = None
            if published.get(key, sha256 := sha256_of(content)) != sha256:
                staged = f"{STAGED}/{uuid.uuid4().hex}"
            written = self._workspace.put(staged or key, content)
            found.append(FileStat(key, written.sha256, written.size))
            self.files.append(FileStat(key, written.sha256, written.size, staged))
        return found


@contextmanager
def publication(
    workspace: Workspace, registry: Registry, role: Role = Role.SCIENTIST
) -> Iterator[Publication]:
    """Publish files: put them, then record `Publication.files` in one transaction.

    One process at a time.

    Nothing published is to be read within, as what is found changed waits for its publication to
    end.

    Args:
        workspace: where the files go.
        registry: in which they are recorded.
        role: required of the principal.

    Raises:
        Conflict: another process is publishing and does not end.
        Forbidden: the principal may not publish; nothing was written.
        IntegrityError: a file published here is not read back as it was written.
        StorageError: files that a killed process left cannot be moved to their place.
    """
    registry.principal.require(role, "publish files")
    with registry.lock(_LOCK):
        _complete(workspace, registry)
        publishing = Publication(workspace, registry)
        yield publishing
        damaged = _complete(workspace, registry)
    if own := damaged.keys() & {file.path for file in publishing.files}:
        raise IntegrityError(f"{', '.join(sorted(own))} is recorded, but: {damaged[min(own)]}")


def complete_publications(workspace: Workspace, registry: Registry) -> None:
    """Move published files to their place that are not there yet.

    This waits for the process that is just doing so.

    Raises:
        Conflict: another process is publishing and does not end.
        StorageError: it cannot be moved.
    """
    if registry.staged():
        with registry.lock(_LOCK):
            _complete(workspace, registry)


@contextmanager
def nothing_replaced(registry: Registry) -> Iterator[None]:
    """Keep published files from being replaced by others meanwhile.

    Raises:
        Conflict: another process is publishing and does not end.
    """
    with registry.lock(_LOCK):
        yield


def remove_abandoned(workspace: Workspace, registry: Registry) -> list[str]:
    """Remove staged files of processes that were killed before they published them.

    This waits for the process that is just publishing.

    Returns:
        Their keys.

    Raises:
        Conflict: another process is publishing and does not end.
        StorageError: one cannot be removed.
    """
    with registry.lock(_LOCK):
        before = set(workspace.list(STAGED))
        _complete(workspace, registry)
        return sorted(before - set(workspace.list(STAGED)))


def _complete(workspace: Workspace, registry: Registry) -> dict[str, IntegrityError]:
    """Return the files that could not be moved, as their bytes have changed.

    The next one tries again, unless it replaces that.

    A file that is no longer published, as a document of a run that is resumed, or the record of a
    version that is private now, is dropped with its content.
    """
    staged = registry.staged()
    damaged = {}
    published = {file.path: file.sha256 for file in registry.files_at(*staged)}
    for path in staged.keys() - published.keys():
        workspace.remove(staged[path])
    for path, sha256 in published.items():
        try:
            workspace.move(staged[path], path, sha256)
        except IntegrityError as error:
            damaged[path] = error
            log.warning("%s cannot be completed: %s", path, error)
    registry.forget_staged(staged.keys() - damaged.keys())
    kept = {staged[path] for path in damaged}
    # of a process that was killed before it published
    for left in set(workspace.list(STAGED)) - kept:
        workspace.remove(left)
    return damaged
