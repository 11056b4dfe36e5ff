"""Locks that all processes on one registry share; each is freed when its process dies.

The registry is shared by all writers of a workspace; object stores have no locks.
"""

from __future__ import annotations

import fcntl
import hashlib
import operator
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from sqlalchemy import PoolProxiedConnection, text
from sqlalchemy.engine import make_url

from mlops_assets.errors import Conflict, StorageError
from mlops_assets.registry.session import RegistrySession
from mlops_assets.text.secret_urls import redacted

# the longest commit during which another process is expected to hold a dataset
LOCK_TIMEOUT_SECONDS = 600.0
ADVISORY_LOCK_POLL_SECONDS = 0.2
# can be no name of a dataset, which has a lock of its own
_OBJECTS = "objects in use"
_STORING = (
    "'mlops gc' is removing objects and does not end; wait until it is done and run this again"
)
_REMOVING = (
    "a commit or a run is storing objects and does not end; nothing more was removed; run this"
    " again when it is done"
)


class Locks(RegistrySession):
    """Named locks: a file beside a SQLite registry, an advisory lock of a PostgreSQL one."""

    @contextmanager
    def lock(self, name: str, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
        """Hold a named lock, before writing.

        Args:
            name: of what is written, e.g. a dataset.
            timeout: seconds to wait for another process that holds it.

        Raises:
            Conflict: another process held it for `timeout`.
            IntegrityError: the log in the workspace is that of another registry.
        """
        self.require_own_log()
        url = make_url(self.url)
        held = self._file_lock if url.get_backend_name() == "sqlite" else self._advisory_lock
        with held(name, timeout):
            yield

    @contextmanager
    def storing(self) -> Iterator[None]:
        """Keep objects from being removed while some are stored, or reused, that no row names yet.

        Hold it from before the first of them is looked for until the row that names them is
        recorded. Any number of processes do so at a time; a thread may hold it repeatedly.

        Raises:
            Conflict: objects are being removed, and that does not end.
            IntegrityError: the log in the workspace is that of another registry.
            StorageError: the lock cannot be taken.
        """
        if (depth := _storing().get(self.url, 0)) == 0:
            with self._held_together(LOCK_TIMEOUT_SECONDS, shared=True, refusal=_STORING):
                _threads.storing = {**_storing(), self.url: 1}
                try:
                    yield
                finally:
                    _threads.storing = {**_storing(), self.url: 0}
            return
        _threads.storing = {**_storing(), self.url: depth + 1}
        try:
            yield
        finally:
            _threads.storing = {**_storing(), self.url: depth}

    @contextmanager
    def removing(self, timeout: float = LOCK_TIMEOUT_SECONDS) -> Iterator[None]:
        """Keep everybody from storing objects, while some are removed that no row names.

        Args:
            timeout: seconds to wait for those who are storing some.

        Raises:
            Conflict: somebody was storing objects for `timeout`.
            IntegrityError: the log in the workspace is that of another registry.
            StorageError: the lock cannot be taken.
        """
        with self._held_together(timeout, shared=False, refusal=_REMOVING):
            yield

    @contextmanager
    def _held_together(self, timeout: float, shared: bool, refusal: str) -> Iterator[None]:
        self.require_own_log()
        if make_url(self.url).get_backend_name() == "sqlite":
            with self._shared_file_lock(timeout, shared, refusal):
                yield
            return
        with self._advisory_lock(_OBJECTS, timeout, shared, refusal):
            yield

    @contextmanager
    def _shared_file_lock(self, timeout: float, shared: bool, refusal: str) -> Iterator[None]:
        path = Path(make_url(self.url).database or ".").parent / "locks" / f"{_OBJECTS}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            # appending keeps what another process has open
            stream = path.open("ab")
        except OSError as error:
            raise _unlockable(path, error) from error
        with stream:
            deadline = time.monotonic() + timeout
            while not _taken(stream.fileno(), shared, path):
                if time.monotonic() > deadline:
                    raise Conflict(refusal)
                pause(ADVISORY_LOCK_POLL_SECONDS)
            yield  # closing the file frees it

    @contextmanager
    def _file_lock(self, name: str, timeout: float) -> Iterator[None]:
        path = Path(make_url(self.url).database or ".").parent / "locks" / f"{name}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(path, timeout=timeout).acquire()
        except Timeout as error:
            raise _held(name) from error
        except OSError as error:
            raise _unlockable(path, error) from error
        with held:
            yield

    @contextmanager
    def _advisory_lock(
        self, name: str, timeout: float, shared: bool = False, refusal: str | None = None
    ) -> Iterator[None]:
        # not needed for SQLite, and 10 ms of every command's start-up
        from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        taking = Retrying(
            retry=retry_if_result(operator.not_),
            wait=wait_fixed(ADVISORY_LOCK_POLL_SECONDS),
            stop=stop_after_delay(timeout),
        )
        kind = "_shared" if shared else ""
        query = text(f"SELECT pg_try_advisory_lock{kind}(:number)")
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            with self.explained():
                try:
                    taking(connection.scalar, query, {"number": number})
                except RetryError as error:
                    raise (Conflict(refusal) if refusal else _held(name)) from error
            # of the server, whose end frees the lock; `connection` would open another
            session = connection.connection
            _threads.held = {**_held_sessions(), (self.url, name): session}
            try:
                yield
            finally:
                _threads.held = {
                    key: held for key, held in _held_sessions().items() if key != (self.url, name)
                }
                try:
                    session.cursor().execute(f"SELECT pg_advisory_unlock{kind}({number})")
                except self._engine.dialect.loaded_dbapi.Error:
                    # the server was restarted, which has freed it
                    connection.invalidate()

    def require_locks(self) -> None:
        """Check that locks which this thread holds are still held.

        A server that was restarted has freed them.

        Raises:
            StorageError: one is lost, so that another process may be writing too.
        """
        for (url, name), session in _held_sessions().items():
            if url != self.url:
                continue
            try:
                session.cursor().execute("SELECT 1")
            except self._engine.dialect.loaded_dbapi.Error as error:
                raise StorageError(
                    f"registry {redacted(self.url)} has lost the lock on {name}, most likely as its"
                    " server was restarted; nothing more was recorded; run it again"
                ) from error


_threads = threading.local()


def _held_sessions() -> dict[tuple[str, str], PoolProxiedConnection]:
    """Return URL and name → database session of the advisory locks that this thread holds."""
    held: dict[tuple[str, str], PoolProxiedConnection] = getattr(_threads, "held", {})
    return held


def _storing() -> dict[str, int]:
    """Return URL → how often this thread is storing objects there."""
    storing: dict[str, int] = getattr(_threads, "storing", {})
    return storing


def pause(seconds: float) -> None:
    """Wait before a lock is tried again."""
    time.sleep(seconds)


def _taken(file: int, shared: bool, path: Path) -> bool:
    """Return whether the lock of an open file was free, and is held now."""
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise _unlockable(path, error) from error
    return True


def _unlockable(path: Path, error: OSError) -> StorageError:
    return StorageError(
        f"lock {path} cannot be taken: {error.strerror}; free space, or make its folder writable"
    )


def _held(name: str) -> Conflict:
    return Conflict(f"another process is writing {name}; wait until it is done and try again")
