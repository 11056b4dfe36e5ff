"""Points of metrics on their way into the registry.

Written in batches by a thread of their own while the run is running.

A registry that is unreachable for a while loses nothing: what could not be written is kept and
tried again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from mlops_assets.errors import StorageError
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import LoggedPoint

FLUSH_SECONDS = 1.0  # how old a point may grow before people can see it
FLUSH_POINTS = 20_000  # that many are written before their second is over


class PointLog(Protocol):
    """The place where points are kept: the registry, or a server on the way to it."""

    def log(self, run_id: str, points: Sequence[LoggedPoint]) -> None:
        """Append points; those that are there already are left.

        Raises:
            StorageError: it is unreachable; the same points may be given again.
        """
        ...


class PointWriter:
    """Writes the points of one run, in their order, each once."""

    def __init__(self, registry: PointLog, run_id: str, first_seq: int = 0) -> None:
        """Start writing.

        Args:
            registry: where to.
            run_id: whose points they are.
            first_seq: number of the next point; those before were logged by an earlier attempt.
        """
        self._registry, self._run_id = registry, run_id
        self._seq = first_seq
        self._waiting: list[LoggedPoint] = []
        self._lock = threading.Lock()  # of what is waiting; never held while writing
        self._writing = threading.Lock()
        self._wake, self._closed = threading.Event(), False
        # wall-clock time that never runs backwards, whatever happens to the clock of the machine
        self._epoch = time.time() - time.monotonic()
        self._thread = threading.Thread(
            target=self._write_on, name=f"points-{run_id[:8]}", daemon=True
        )
        self._thread.start()

    @property
    def seq(self) -> int:
        """Number of the next point."""
        return self._seq

    def add(self, values: list[tuple[str, float]], step: int) -> None:
        """Take values of metrics at a step.

        It only waits if another thread is taking points just now.
        """
        logged = self._epoch + time.monotonic()
        with self._lock:
            for name, value in values:
                self._waiting.append((self._seq, name, step, value, logged))
                self._seq += 1
            many = len(self._waiting) >= FLUSH_POINTS
        if many:
            self._wake.set()

    def flush(self) -> None:
        """Write what is waiting, at once.

        Raises:
            StorageError: the registry cannot be written; nothing is lost, try again.
        """
        with self._writing:
            with self._lock:
                batch, self._waiting = self._waiting, []
            try:
                self._registry.log(self._run_id, batch)
            except BaseException:
                with self._lock:
                    self._waiting = batch + self._waiting
                raise

    def close(self) -> None:
        """Write everything, however long the registry is unreachable, and stop.

        Raises:
            StorageError: it was unreachable for too long.
        """
        self._closed = True
        self._wake.set()
        self._thread.join()
        patiently(self.flush)

    def _write_on(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            try:
                self.flush()
            except StorageError:
                time.sleep(FLUSH_SECONDS)  # kept; the next turn tries again, and `close` insists
