"""Segments of the request log on this machine, until they are in the workspace.

A writer has a folder of its own, which it holds by a lock; what a killed one has left is shipped by
the next process that looks. Segments are Arrow IPC streams whose last batch may be cut short.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
from filelock import FileLock, Timeout

from mlops_assets.errors import StorageError
from mlops_assets.paths import segments_folder
from mlops_assets.serving.request_log.rows import SCHEMA
from mlops_assets.storage import Workspace, sha256_of

SEGMENT = ".arrows"
COUNTER = ".json"
_OPEN = ".open"
_LOCK = "lock"

log = logging.getLogger(__name__)


@dataclass
class Segment:
    """A segment that is being written.

    Attributes:
        path: of its file.
        descriptor: of its file.
        size: bytes of whole batches.
        opened: when, seconds of the monotonic clock.
    """

    path: Path
    descriptor: int
    size: int
    opened: float

    def write(self, messages: Sequence[pa.Buffer]) -> int:
        """Append messages, all or none.

        Returns:
            Bytes that were written.

        Raises:
            OSError: they could not be written, as the disk is full.
        """
        try:
            for message in messages:
                view = memoryview(message)
                while view:
                    view = view[os.write(self.descriptor, view) :]
        except OSError:
            os.ftruncate(self.descriptor, self.size)
            os.lseek(self.descriptor, self.size, os.SEEK_SET)
            raise
        written: int = sum(message.size for message in messages)
        self.size += written
        return written

    def close(self) -> None:
        """Close it, so that it is shipped."""
        os.close(self.descriptor)
        self.path.replace(self.path.with_suffix(SEGMENT))


class Spool:
    """The folder of one writer.

    Attributes:
        writer: id of the writer, part of the names of its segments.
    """

    def __init__(self, workspace: Workspace) -> None:
        """Make the folder and hold it.

        Raises:
            StorageError: it cannot be made.
        """
        self._workspace = workspace
        self.writer = uuid.uuid4().hex[:16]
        root = spool_root(workspace)
        self._folder = root / self.writer
        self._lock = FileLock(self._folder / _LOCK, thread_local=False)
        try:
            self._hold()
        except OSError as error:
            raise StorageError(
                f"{root} cannot be written: {error.strerror}; free space there, or set MLOPS_CACHE"
                " to another folder"
            ) from error
        self._next = 0

    def _hold(self) -> None:
        """Make the folder and hold it, also where it was deleted with the cache."""
        with _held(self._folder.parent):
            self._lock.release(force=True)
            self._folder.mkdir(exist_ok=True)
            self._lock.acquire()

    def open(self, model: str, day: str, opened: float) -> Segment:
        """Open a new segment.

        Args:
            model: name of the model.
            day: of its requests.
            opened: seconds of the monotonic clock.

        Raises:
            OSError: it cannot be made.
        """
        path = self._path(model, day, _OPEN)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        segment = Segment(path, os.open(path, flags, 0o644), 0, opened)
        try:
            segment.write([SCHEMA.serialize()])
        except OSError:
            os.close(segment.descriptor)
            path.unlink()
            raise
        return segment

    def count(self, model: str, day: str, dropped: int) -> None:
        """Note how many requests were dropped.

        Args:
            model: name of the model.
            day: of the requests.
            dropped: by this writer, on that day, so far.

        Raises:
            OSError: it cannot be written.
        """
        path = self._path(model, day, ".new")
        try:
            path.write_text(json.dumps({"writer": self.writer, "dropped": dropped}))
        except OSError:
            path.unlink(missing_ok=True)
            raise
        path.replace(path.with_suffix(COUNTER))

    def _path(self, model: str, day: str, suffix: str) -> Path:
        # else another process takes the folder for that of a writer that is gone
        if not (self._folder / _LOCK).exists():
            self._hold()
        folder = self._folder / model / day
        folder.mkdir(parents=True, exist_ok=True)
        self._next += 1
        return folder / f"{self._next:08}{suffix}"

    def ship(self) -> None:
        """Move closed segments to the workspace.

        Raises:
            StorageError: the workspace cannot be written at present.
        """
        _ship(self._workspace, self._folder, (SEGMENT, COUNTER))

    def sizes(self) -> dict[tuple[str, str], int]:
        """Return model and day → bytes that are not in the workspace yet."""
        found: dict[tuple[str, str], int] = {}
        for path in _files(self._folder):
            with suppress(FileNotFoundError):
                place = path.parent.parent.name, path.parent.name
                found[place] = found.get(place, 0) + path.stat().st_size
        return found

    def close(self) -> None:
        """Free the folder; it is removed if it is empty."""
        with _held(self._folder.parent):
            self._lock.release()
            if not any(path.is_file() and path.name != _LOCK for path in _files(self._folder)):
                shutil.rmtree(self._folder, ignore_errors=True)


def spool_root(workspace: Workspace) -> Path:
    """Return the folder of all writers on this machine to a workspace."""
    return workspace.cache / "inference" / sha256_of(workspace.url.encode())[:16]


def ship_left_overs(workspace: Workspace) -> None:
    """Move segments of writers that are gone to the workspace.

    Raises:
        StorageError: the workspace cannot be written at present.
    """
    root = spool_root(workspace)
    for folder in sorted(root.glob("*/")) if root.is_dir() else []:
        lock = FileLock(folder / _LOCK)
        with _held(root):
            try:
                lock.acquire(timeout=0)
            except (OSError, Timeout):  # it is being written, or was just removed
                continue
        try:
            _ship(workspace, folder, (SEGMENT, COUNTER, _OPEN))
            with _held(root):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            lock.release()


def _ship(workspace: Workspace, folder: Path, suffixes: tuple[str, ...]) -> None:
    for path in _files(folder):
        if path.suffix not in suffixes:
            continue
        name = path.with_suffix(SEGMENT if path.suffix == _OPEN else path.suffix).name
        model, day = path.parent.parent.name, path.parent.name
        _move(workspace, path, f"{segments_folder(model, day)}/{folder.name}-{name}")


def _move(workspace: Workspace, path: Path, key: str) -> None:
    """Move a file to a key of the workspace."""
    if workspace.is_local:
        target = workspace.root / key
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            path.replace(target)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise StorageError(
                    f"{target} could not be written: {error.strerror}; free space or fix"
                    " permissions; it is tried again"
                ) from error
    workspace.put(key, path)
    path.unlink()


def _files(folder: Path) -> Iterator[Path]:
    """Yield the files of a writer, oldest first."""
    yield from sorted(path for path in folder.glob("*/*/*") if path.is_file())


@contextmanager
def _held(root: Path) -> Iterator[None]:
    """Hold the folder of all writers, while one is made, taken over or removed."""
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / _LOCK):
        yield
