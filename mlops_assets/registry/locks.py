"""Locks that all processes on one registry share; each is freed when its process dies.

The registry is shared by all writers of a workspace; object stores have no locks.
"""

from __future__ import annotations

import hashlib
import operator
import threading
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
    def _file_lock(self, name: str, timeout: float) -> Iterator[None]:
        path = Path(make_url(self.url).database or ".").parent / "locks" / f"{name}.lock"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            held = FileLock(path, timeout=timeout).acquire()
        except Timeout as error:
            raise _held(name) from error
        except OSError as error:
            raise StorageError(
                f"lock {path} cannot be taken: {error.strerror}; free space, or make its folder"
                " writable"
            ) from error
        with held:
            yield

    @contextmanager
    def _advisory_lock(self, name: str, timeout: float) -> Iterator[None]:
        # not needed for SQLite, and 10 ms of every command's start-up
        from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

        number = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
        taking = Retrying(
            retry=retry_if_result(operator.not_),
            wait=wait_fixed(ADVISORY_LOCK_POLL_SECONDS),
            stop=stop_after_delay(timeout),
        )
        query = text("SELECT pg_try_advisory_lock(:number)")
        with self._engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            with self.explained():
                try:
                    taking(connection.scalar, query, {"number": number})
                except RetryError as error:
                    raise _held(name) from error
            # of the server, whose end frees the lock; `connection` would open another
            session = connection.connection
            _sessions.held = {**_held_sessions(), (self.url, name): session}
            try:
                yield
            finally:
                _sessions.held = {
                    key: held for key, held in _held_sessions().items() if key != (self.url, name)
                }
                try:
                    session.cursor().execute(f"SELECT pg_advisory_unlock({number})")
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


_sessions = threading.local()


def _held_sessions() -> dict[tuple[str, str], PoolProxiedConnection]:
    """Return URL and name → database session of the advisory locks that this thread holds."""
    held: dict[tuple[str, str], PoolProxiedConnection] = getattr(_sessions, "held", {})
    return held


def _held(name: str) -> Conflict:
    return Conflict(f"another process is writing {name}; wait until it is done and try again")
