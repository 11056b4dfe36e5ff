"""The writer of logged points into the registry.

A thread writes them in batches while the run is running. Nothing is lost while the registry is
unreachable: points that could not be written are kept, and written later.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Protocol

from mlops_assets.errors import StorageError
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import LoggedPoint

# after which a point is visible to readers
FLUSH_SECONDS = 1.0
# that many are written earlier
FLUSH_POINTS = 20_000


class PointLog(Protocol):
    """A store of points: the registry, or the server of a hub."""

    def log(self, run_id: str, points: Sequence[LoggedPoint]) -> None:
        """Append points; existing ones are not changed.

        Args:
            run_id: the run.
            points: in the order logged.

        Raises:
            StorageError: the store is unreachable; the same points may be appended again.
        """
        ...


class PointWriter:
    """The writer of the points of one run: in their order, each once."""

    def __init__(self, registry: PointLog, run_id: str, first_seq: int = 0) -> None:
        """Start writing.

        Args:
            registry: stores the points.
            run_id: the run.
            first_seq: number of the next point; those before were logged by an earlier attempt.
        """
        self._registry = registry
        self._run_id = run_id
        self._seq = first_seq
        self._waiting: list[LoggedPoint] = []
        # for `_waiting`; never held while writing
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._closed = False
        # wall-clock time that never runs backwards, whatever happens to the clock of the machine
        self._epoch = time.time() - time.monotonic()
        self._thread = threading.Thread(
            target=self._write_queued, name=f"points-{run_id[:8]}", daemon=True
        )
        self._thread.start()

    @property
    def seq(self) -> int:
        """Number of the next point."""
        return self._seq

    def add(self, values: list[tuple[str, float]], step: int) -> None:
        """Queue values of metrics at a step, without waiting for the registry.

        Args:
            values: (name, value) pairs.
            step: their step.
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
        """Write the queued points now.

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
        """Write the queued points, waiting for the registry if it is unreachable, and stop.

        Raises:
            StorageError: the registry was unreachable for too long.
        """
        self._closed = True
        self._wake.set()
        self._thread.join()
        patiently(self.flush)

    def _write_queued(self) -> None:
        while not self._closed:
            self._wake.wait(FLUSH_SECONDS)
            self._wake.clear()
            try:
                self.flush()
            except StorageError:
                # they are kept, and tried again
                time.sleep(FLUSH_SECONDS)
