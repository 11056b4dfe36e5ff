"""Destinations to write a data version back to: a folder of this machine, or a bucket.

`recall` decides which files are written, and whether anything may be replaced.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import os
import shutil
import stat
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Literal, Protocol
from urllib.parse import urlsplit

import obstore
from filelock import FileLock, Timeout

from mlops_assets.datasets.recall.objects import REQUESTS, StoredBytes, StoredFile
from mlops_assets.errors import Conflict, StorageError
from mlops_assets.storage import Workspace
from mlops_assets.storage.stores import BUCKETS, explained, join, local_folder, open_object_store
from mlops_assets.storage.workspace import AT_ONCE

# `blocked`: occupied by something that is never replaced, such as a folder, or a link out of the
# target
Standing = Literal["absent", "same", "different", "blocked"]
How = Literal["cloned", "linked", "copied"]
STAGING = ".mlops-recalling"  # hidden, so that no landing takes it for data
_REMEDY = "free space or fix permissions and recall again"
_FICLONE = 0x40049409  # Linux, ioctl_ficlone(2)
# errors of a file system that cannot link; too many links concern one file only
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.EACCES, errno.EOPNOTSUPP, errno.ENOSYS)


class Target(Protocol):
    """A target that files are written to. `threads`: number of files at once."""

    where: str
    threads: int

    def open(self, files: Sequence[StoredFile]) -> None:
        """Read the state of the target; nothing is written.

        Raises:
            StorageError: it cannot be read, or is not a place to write to.
        """
        ...

    def standing(self, file: StoredFile) -> Standing:
        """Return the state of the path that the file is written to."""
        ...

    def write(self, file: StoredFile, chunks: Iterator[bytes]) -> How:
        """Write one file, whole or not at all, in place of a different one.

        Args:
            file: its path and place in the workspace.
            chunks: its bytes, if they have to be read; an exception of theirs is passed on.

        Raises:
            StorageError: it could not be read or written.
            IntegrityError: its bytes are not those that were committed.
        """
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Lock the target while files are written.

        Raises:
            Conflict: another recall is writing to this target.
        """
        ...


def open_target(workspace: Workspace, target: str, content: StoredBytes, copy: bool) -> Target:
    """Return the place that a path or URL names.

    Raises:
        StorageError: it is inside the workspace, or no folder or bucket.
    """
    scheme = urlsplit(target).scheme if "://" in target else "file"
    if scheme not in ("file", *BUCKETS):
        raise StorageError(
            f"{target}: files can be recalled to a folder, or to s3://, az:// or gs://"
        )
    if scheme in BUCKETS:
        if f"{target.rstrip('/')}/".startswith(f"{workspace.url}/"):
            raise _inside(target)
        return BucketTarget(target.rstrip("/"))
    folder = Path(os.path.realpath(local_folder(target) if "://" in target else target))
    if urlsplit(workspace.url).scheme == "file" and folder.is_relative_to(workspace.root.resolve()):
        raise _inside(str(folder))
    return FolderTarget(folder, workspace, content, copy)


class FolderTarget:
    """A folder.

    Whole files share their bytes with the workspace where the file system can do that.
    """

    def __init__(
        self, folder: Path, workspace: Workspace, content: StoredBytes, copy: bool
    ) -> None:
        self.where = str(folder)
        self._folder = str(folder)
        self._content = content
        self._copy = copy
        self.threads = content.threads
        self._clones = not copy and sys.platform == "linux"
        self._links = not copy
        self._locks = workspace.cache / "locks"
        self._workspace = (
            f"{workspace.root.resolve()}/" if urlsplit(workspace.url).scheme == "file" else None
        )
        self._new = False
        self._made: set[str] = set()
        self._numbers = itertools.count()

    def open(self, files: Sequence[StoredFile]) -> None:
        """See `Target.open`."""
        self._new = not os.path.lexists(self._folder)
        if not self._new and not os.path.isdir(self._folder):  # noqa: PTH112
            raise StorageError(f"{self.where} is a file; name a folder")

    def standing(self, file: StoredFile) -> Standing:
        """See `Target.standing`."""
        if self._new:
            return "absent"
        path = f"{self._folder}/{file.path}"
        if self._leads_elsewhere(path):
            return "blocked"
        try:
            found = os.lstat(path)
        except FileNotFoundError:
            return "absent"
        except NotADirectoryError:
            return "blocked"
        except OSError as error:
            raise StorageError(
                f"{path} could not be inspected: {error.strerror}; {_REMEDY}"
            ) from error
        if stat.S_ISDIR(found.st_mode):
            return "blocked"
        if not stat.S_ISREG(found.st_mode) or found.st_size != file.size:
            return "different"
        if self._shared(found, file):
            # a copy is asked for, so that the bytes are not shared
            return "absent" if self._copy else "same"
        with explained(path, "read"), Path(path).open("rb") as stream:
            same = hashlib.file_digest(stream, "sha256").hexdigest() == file.sha256
        return "same" if same else "different"

    def _shared(self, found: os.stat_result, file: StoredFile) -> bool:
        """Return whether a file is a hard link of the object itself."""
        stored = self._content.local_path(file)
        try:
            return stored is not None and os.path.samestat(found, os.stat(stored))  # noqa: PTH116
        except OSError:
            return False

    def _leads_elsewhere(self, path: str) -> bool:
        """Return whether a link is on the way to a file, or the workspace. Asked once a folder."""
        parent = os.path.dirname(path)  # noqa: PTH120
        if parent in self._made:
            return False
        if os.path.realpath(parent) != parent or (
            self._workspace and f"{parent}/".startswith(self._workspace)
        ):
            return True
        self._made.add(parent)
        return False

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `Target.writing`. What an interrupted recall left is removed."""
        name = hashlib.sha256(self._folder.encode()).hexdigest()[:16]
        self._made.clear()
        with explained(self.where, "written", _REMEDY):
            self._locks.mkdir(parents=True, exist_ok=True)
            try:
                with FileLock(self._locks / f"recall-{name}.lock", timeout=0):
                    staging = Path(self._folder, STAGING)
                    staging.parent.mkdir(parents=True, exist_ok=True)
                    self._clear(staging)
                    staging.mkdir()
                    try:
                        yield
                    finally:
                        self._clear(staging)
            except Timeout as error:
                raise Conflict(
                    f"another recall is writing to {self.where}; wait until it is done"
                ) from error

    def _clear(self, staging: Path) -> None:
        if staging.is_symlink():
            staging.unlink()
        elif staging.exists():
            shutil.rmtree(staging)

    def write(self, file: StoredFile, chunks: Iterator[bytes]) -> How:
        """See `Target.write`."""
        path = f"{self._folder}/{file.path}"
        staged = f"{self._folder}/{STAGING}/{next(self._numbers)}"
        with explained(path, "written", _REMEDY):
            self._make_folder(path)
            if self._links and not self._clones and self._linked(file, path):
                return "linked"
            how = self._stage(file, staged, chunks)
            os.replace(staged, path)  # noqa: PTH105  600,000 times
        return how

    def _linked(self, file: StoredFile, path: str) -> bool:
        """Make a hard link where nothing is, at once, as a link appears whole."""
        stored = self._content.local_path(file)
        if stored is None:
            return False
        try:
            _link(stored, path)
        except OSError:  # also of what stands there already, which is replaced
            return False
        return True

    def _make_folder(self, path: str) -> None:
        parent = os.path.dirname(path)  # noqa: PTH120
        if parent not in self._made:
            os.makedirs(parent, exist_ok=True)  # noqa: PTH103
            if os.path.realpath(parent) != parent:  # a link that was made since it was inspected
                raise StorageError(
                    f"{parent} leads out of {self.where}; nothing is written through links"
                )
            self._made.add(parent)

    def _stage(self, file: StoredFile, staged: str, chunks: Iterator[bytes]) -> How:
        stored = self._content.local_path(file)
        if stored is not None and self._clones:
            if _clone(stored, staged):
                return "cloned"
            self._clones = False
        if stored is not None and self._links:
            try:
                _link(stored, staged)
                return "linked"
            except OSError as error:
                if error.errno in _NO_LINKS:
                    self._links = False
                elif error.errno != errno.EMLINK:
                    raise
        opened = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        with open(opened, "wb", buffering=0) as stream:  # noqa: PTH123
            for chunk in chunks:
                part = memoryview(chunk)
                while part:  # on a disk that is filling up only a part is written, without an error
                    part = part[stream.write(part) :]
        return "copied"


class BucketTarget:
    """A prefix of an object store."""

    def __init__(self, url: str) -> None:
        self.where = url
        self.threads = REQUESTS
        self._store = open_object_store(url)
        self._sizes: dict[str, int] = {}

    def open(self, files: Sequence[StoredFile]) -> None:
        """See `Target.open`."""
        wanted = {file.path for file in files}
        with explained(self.where, "listed"):
            for page in obstore.list(self._store, chunk_size=1000):
                self._sizes |= {
                    entry["path"]: entry["size"] for entry in page if entry["path"] in wanted
                }

    def standing(self, file: StoredFile) -> Standing:
        """See `Target.standing`; what has the same size is read."""
        if file.path not in self._sizes:
            return "absent"
        if self._sizes[file.path] != file.size:
            return "different"
        digest = hashlib.sha256()
        with explained(join(self.where, file.path), "read"):
            for chunk in obstore.get(self._store, file.path).stream():
                digest.update(chunk)
        return "same" if digest.hexdigest() == file.sha256 else "different"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """See `Target.writing`.

        An object appears whole or not at all, so nothing needs to be held.
        """
        yield

    def write(self, file: StoredFile, chunks: Iterator[bytes]) -> How:
        """See `Target.write`; an upload whose bytes turn out to be wrong at its end is given up."""
        with explained(join(self.where, file.path), "written", _REMEDY):
            obstore.put(
                self._store, file.path, b"".join(chunks) if file.size <= AT_ONCE else chunks
            )
        return "copied"


def _clone(source: str, target: str) -> bool:
    """Make a file that shares its bytes with another until one is written to.

    Return whether the file system can do so.
    """
    import fcntl

    reading = os.open(source, os.O_RDONLY)
    try:
        writing = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
        try:
            fcntl.ioctl(writing, _FICLONE, reading)
        except OSError:
            os.unlink(target)  # noqa: PTH108
            return False
        finally:
            os.close(writing)
    finally:
        os.close(reading)
    return True


def _link(source: str, target: str) -> None:
    """Make a hard link; as its bytes are the workspace's, it must not be written to."""
    mode = stat.S_IMODE(os.stat(source).st_mode)  # noqa: PTH116
    if mode & 0o222:
        os.chmod(source, mode & ~0o222)  # noqa: PTH101
    os.link(source, target)


def _inside(target: str) -> StorageError:
    return StorageError(
        f"{target} is inside the workspace, which only mlops_assets writes to; choose another"
        " target"
    )
