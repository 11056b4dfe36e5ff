"""The request log of a server: exchanges are queued, written by a thread, shipped by another.

Answers never wait for it. What is not written yet when the process is killed is lost: that of half
a second.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from operator import itemgetter

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from mlops_assets.errors import MlopsError, StorageError
from mlops_assets.models.compute import bytes_of
from mlops_assets.paths import INFERENCE
from mlops_assets.serving.request_log.rows import (
    day_name,
    day_number,
    is_sampled,
    record_batches,
)
from mlops_assets.serving.request_log.spool import Segment, Spool, ship_left_overs
from mlops_assets.serving.sessions.interface import Exchange, Tensors
from mlops_assets.serving.specification import RequestLog
from mlops_assets.storage import Workspace

# of a sample beside its tensors, about: id, version and caller are there for each
_REQUEST_BYTES = 500
# times its own size that an array may keep from being freed
_PINNED = 2
# of a batch: more costs memory, and time of other threads at once, and saves nothing
_BATCH_BYTES = 512 << 10
# of exchanges that are written before `flush_seconds` are over
_WAKE_BYTES = 1 << 20
_BATCH_EXCHANGES = 256
_MAX_BACKOFF_SECONDS = 60.0
# segments that are open at the same time
_MAX_OPEN = 32
# models and days whose size is watched
_MAX_PLACES = 64

log = logging.getLogger(__name__)

Place = tuple[str, int]  # model and number of the UTC day


@dataclass(frozen=True)
class WriterLimits:
    """Limits of a writer.

    Attributes:
        queue_bytes: of exchanges that are not written yet.
        spool_bytes: of segments on this machine that are not in the workspace yet.
        flush_seconds: after which an exchange is written.
        segment_seconds: after which a segment is closed and shipped.
        segment_bytes: of a segment, about.
    """

    queue_bytes: int = 64 << 20
    spool_bytes: int = 1 << 30
    flush_seconds: float = 0.5
    segment_seconds: float = 30.0
    segment_bytes: int = 64 << 20


class RequestLogWriter:
    """Keeps exchanges in the request log of a workspace; implements `RequestLogger`."""

    def __init__(
        self,
        workspace: Workspace,
        declared: Mapping[str, RequestLog],
        limits: WriterLimits = WriterLimits(),
    ) -> None:
        """Start the log.

        Args:
            workspace: that it is in.
            declared: name of a model → what is kept; other models are not logged.
            limits: of memory, disk and time.

        Raises:
            StorageError: the cache cannot be written.
        """
        self._workspace = workspace
        self._declared = {
            model: (each, bytes_of(each.max_bytes))
            for model, each in declared.items()
            if each.sample > 0
        }
        self._limits = limits
        self._spool = Spool(workspace)
        # that of Arrow's default keeps 5 MiB more from the system
        self._pool = pa.system_memory_pool()
        # of the queue and the counters; held for microseconds
        self._lock = threading.Lock()
        self._queue: list[Exchange] = []
        self._queued = 0
        self._dropped: defaultdict[Place, int] = defaultdict(int)
        self._full: frozenset[Place] = frozenset()
        self._is_spool_full = False
        # of the segments
        self._writing = threading.Lock()
        self._segments: dict[Place, Segment] = {}
        self._noted: dict[Place, tuple[int, float]] = {}
        self._spooled = 0
        self._unshipped: defaultdict[Place, int] = defaultdict(int)
        self._stored: dict[Place, int] = {}
        self._shipping = threading.Lock()
        self._wake = threading.Event()
        self._wake_shipper = threading.Event()
        self._stopping = False
        self._threads = [
            threading.Thread(target=target, name=f"request-log-{name}", daemon=True)
            for name, target in (("writer", self._write_always), ("shipper", self._ship_always))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def models(self) -> frozenset[str]:
        """Names of the models whose requests are logged."""
        return frozenset(self._declared)

    def record(self, exchange: Exchange) -> None:
        """Keep an exchange, or drop and count it.

        Its arrays must not be changed afterwards.
        """
        model = exchange.served.row.model
        declared = self._declared.get(model)
        if declared is None or not is_sampled(exchange.id, declared[0].sample):
            return
        samples = _samples(exchange)
        size = _exchange_size(exchange)
        place = (model, day_number(exchange.started))
        if any(map(_pins_much, (*exchange.inputs.values(), *exchange.outputs.values()))):
            exchange = replace(
                exchange, inputs=_copied(exchange.inputs), outputs=_copied(exchange.outputs)
            )
        with self._lock:
            is_too_much = self._queue and self._queued + size > self._limits.queue_bytes
            # a request of millions of small samples would take gigabytes as rows
            is_too_much = is_too_much or samples * _REQUEST_BYTES > self._limits.queue_bytes
            if is_too_much or self._stopping or self._is_spool_full or place in self._full:
                self._dropped[place] += 1
                return
            self._queue.append(exchange)
            self._queued += size
            is_much = self._queued > _WAKE_BYTES
        if is_much:
            self._wake.set()

    def dropped(self) -> Mapping[str, int]:
        """Return model → exchanges that were dropped since the start."""
        found: defaultdict[str, int] = defaultdict(int)
        with self._lock:
            for (model, _), count in self._dropped.items():
                found[model] += count
        return found

    def flush(self) -> None:
        """Write what was recorded, and move it to the workspace.

        Raises:
            StorageError: the workspace cannot be written at present; it is tried again later.
        """
        self._write(seal=True)
        self._ship()

    def close(self) -> None:
        """Write what is left, and move it to the workspace.

        What cannot be moved is moved by the next writer on this machine.
        """
        with self._lock:
            if self._stopping:
                return
            self._stopping = True
        self._wake.set()
        self._wake_shipper.set()
        for thread in self._threads:
            thread.join()
        try:
            self.flush()
        except StorageError as error:
            log.warning("%s", error)
        self._spool.close()

    def _write_always(self) -> None:
        while not self._stopping:
            self._wake.wait(self._limits.flush_seconds)
            self._wake.clear()
            try:
                self._write()
            except Exception:  # its thread must not end, as nothing would be logged any more
                log.exception("the request log could not be written")

    def _write(self, seal: bool = False) -> None:
        """Write what is queued.

        Args:
            seal: close all segments, so that they are shipped.
        """
        with self._writing:
            with self._lock:
                queue, self._queue = self._queue, []
            queue.reverse()  # so that what is written is freed
            while queue:
                self._write_batch(_take_batch(queue))
            self._close_segments(seal)
            self._note_drops(seal)
            self._limit()

    def _write_batch(self, exchanges: list[Exchange]) -> None:
        """Write exchanges of one model and day."""
        first = exchanges[0]
        place = (first.served.row.model, day_number(first.started))
        keep = self._declared[place[0]][0].inputs
        left = len(exchanges)
        try:
            batches = list(record_batches(exchanges, self._spool.writer, keep))
        except Exception:  # whatever a tensor is: the log must not end, and others are logged
            if left > 1:
                for exchange in exchanges:
                    self._write_batch([exchange])
                return
            log.exception("request %s of %s is not logged", first.id, place[0])
            batches = []
        try:
            if batches:
                written = self._segment(place).write(
                    [batch.serialize(memory_pool=self._pool) for batch in batches]
                )
                self._spooled += written
                self._unshipped[place] += written
                left = 0
        except OSError as error:
            log.warning("requests of %s are not logged: %s; free space", place[0], error.strerror)
        size = sum(map(_exchange_size, exchanges))
        with self._lock:
            self._queued -= size
            if left:
                self._dropped[place] += left

    def _segment(self, place: Place) -> Segment:
        if place not in self._segments:
            model, day = place
            if len(self._segments) >= _MAX_OPEN:
                self._close_segment(next(iter(self._segments)))
            self._segments[place] = self._spool.open(model, day_name(day), time.monotonic())
        return self._segments[place]

    def _close_segments(self, all_of_them: bool) -> None:
        now = time.monotonic()
        for place, segment in list(self._segments.items()):
            is_old = now - segment.opened >= self._limits.segment_seconds
            if all_of_them or is_old or segment.size >= self._limits.segment_bytes:
                self._close_segment(place)

    def _close_segment(self, place: Place) -> None:
        try:
            self._segments.pop(place).close()
        except OSError as error:
            log.warning("a segment of %s is lost: %s", place[0], error)
        self._wake_shipper.set()

    def _note_drops(self, now_already: bool) -> None:
        """Note the number of dropped requests where it has changed."""
        now = time.monotonic()
        with self._lock:
            dropped = dict(self._dropped)
        for place, count in dropped.items():
            noted, when = self._noted.get(place, (0, 0.0))
            is_due = now_already or now - when >= self._limits.segment_seconds
            if count == noted or not is_due:
                continue
            try:
                self._spool.count(place[0], day_name(place[1]), count)
            except OSError as error:
                log.warning("dropped requests are not counted: %s; free space", error.strerror)
                return
            self._noted[place] = count, now
            self._wake_shipper.set()

    def _limit(self) -> None:
        """Find out where requests are dropped until there is room again."""
        full = frozenset(
            place
            for place, size in self._unshipped.items()
            if size + self._stored.get(place, 0) >= self._declared[place[0]][1]
        )
        with self._lock:
            self._full = full
            self._is_spool_full = self._spooled >= self._limits.spool_bytes

    def _ship_always(self) -> None:
        backoff = 0.0
        left_overs = True
        while not self._stopping:
            try:
                if left_overs:
                    ship_left_overs(self._workspace)
                    left_overs = False
                self._ship()
                backoff = 0.0
            except MlopsError as error:
                backoff = min(max(1.0, 2 * backoff), _MAX_BACKOFF_SECONDS)
                log.warning("%s; it is tried again in %g s", error, backoff)
            except Exception:  # its thread must not end, as the log would fill the disk
                backoff = _MAX_BACKOFF_SECONDS
                log.exception("the request log cannot be moved to the workspace")
            if backoff:
                # segments that are closed meanwhile wait, too
                self._wait_for_stop(backoff)
            else:
                # a full day may have room once it is compacted
                self._wake_shipper.wait(_MAX_BACKOFF_SECONDS if self._full else None)
                self._wake_shipper.clear()

    def _wait_for_stop(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while not self._stopping and (left := end - time.monotonic()) > 0:
            self._wake_shipper.wait(left)
            self._wake_shipper.clear()

    def _ship(self) -> None:
        with self._shipping:
            try:
                self._spool.ship()
            finally:
                self._measure()

    def _measure(self) -> None:
        """Measure what is on this machine and what is in the workspace.

        Raises:
            StorageError: the workspace cannot be read at present.
        """
        with self._writing:
            spooled = self._spool.sizes()
            self._spooled = sum(spooled.values())
            for place in self._unshipped:
                self._unshipped[place] = spooled.get((place[0], day_name(place[1])), 0)
            old = sorted(self._unshipped, key=itemgetter(1))[:-_MAX_PLACES]
            for place in old:
                if not self._unshipped[place]:
                    del self._unshipped[place]
                    self._stored.pop(place, None)
            places = list(self._unshipped)
            self._limit()
        for model, day in places:
            stored = self._workspace.sizes(f"{INFERENCE}/{model}/{day_name(day)}")
            with self._writing:
                self._stored[model, day] = sum(stored.values())
                self._limit()


def _take_batch(queue: list[Exchange]) -> list[Exchange]:
    """Take exchanges of one model and day from the end of a queue."""
    first = queue.pop()
    taken = [first]
    model, day = first.served.row.model, day_number(first.started)
    size = _exchange_size(first)
    while queue and len(taken) < _BATCH_EXCHANGES and size < _BATCH_BYTES:
        following = queue[-1]
        if following.served.row.model != model or day_number(following.started) != day:
            break
        taken.append(queue.pop())
        size += _exchange_size(following)
    return taken


def _samples(exchange: Exchange) -> int:
    values = next(iter(exchange.inputs.values()), None)
    return 1 if values is None or not values.ndim else len(values)


def _exchange_size(exchange: Exchange) -> int:
    tensors = _size(exchange.inputs) + _size(exchange.outputs)
    return _REQUEST_BYTES * _samples(exchange) + tensors


def _size(tensors: Tensors) -> int:
    return sum(values.nbytes for values in tensors.values())


def _pins_much(values: NDArray[np.generic]) -> bool:
    """Return whether an array keeps far more memory from being freed than it has values."""
    owner: object = values.base
    if owner is None:
        return False
    if isinstance(owner, memoryview):
        owner = owner.obj
    # what onnxruntime returns owns its values by an object that has no size
    if not isinstance(owner, np.ndarray | bytes | bytearray):
        return False
    size = owner.nbytes if isinstance(owner, np.ndarray) else len(owner)
    return bool(size > _PINNED * values.nbytes + _REQUEST_BYTES)


def _copied(tensors: Tensors) -> Tensors:
    return {name: np.array(values) for name, values in tensors.items()}
