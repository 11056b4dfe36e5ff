"""Threads that answer requests, and a queue before them that is never longer than it should be."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mlops_assets.errors import RequestRefused

# what takes less is run on the event loop: to hand it to a thread and back takes 0.1 ms of CPU, and
# the loop waits no longer than for a large body
INLINE_SECONDS = 0.001
MAX_KINDS = 1_000
_WEIGHT = 0.2  # of the last request in the expected time

T = TypeVar("T")


class Workers:
    """A bounded number of threads and of requests that wait for one.

    A request that would wait longer than it is worth is refused at once, so that its caller can try
    another server.
    """

    def __init__(self, threads: int, queue: int) -> None:
        """Start no thread yet.

        Args:
            threads: requests that are answered at the same time.
            queue: requests that wait, at most.
        """
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="inference")
        self._places = threads + queue
        self._taken = 0
        self._seconds: dict[Hashable, float] = {}

    @property
    def taken(self) -> int:
        """Requests that are answered or wait at present."""
        return self._taken

    def check(self) -> None:
        """Check that a request could be taken now, before its body is read.

        Raises:
            RequestRefused: there are too many.
        """
        if self._taken >= self._places:
            raise RequestRefused(
                f"{self._taken} requests are answered or wait already; try again later", 503
            )

    async def run(self, function: Callable[..., T], *arguments: object, kind: Hashable = None) -> T:
        """Return what a function returns, called in a thread.

        Args:
            function: the function.
            *arguments: its arguments.
            kind: of the call; calls of one kind take similar time, and run without a thread if that
                is short. None for one that always runs in a thread.

        Raises:
            RequestRefused: too many requests wait.
        """
        self.check()
        if self._seconds.get(kind, math.inf) < INLINE_SECONDS:
            return self._timed(kind, function, *arguments)
        self._taken += 1
        future = asyncio.get_running_loop().run_in_executor(
            self._pool, self._timed, kind, function, *arguments
        )
        # also of a call whose caller has gone, which is still running
        future.add_done_callback(self._free)
        try:
            return await asyncio.shield(future)
        finally:
            # an error would keep this frame, and the frame the error: whatever a request has
            # taken would stay in memory until the garbage collector finds them
            del future

    def _timed(self, kind: Hashable, function: Callable[..., T], *arguments: object) -> T:
        # not of the clock, which other processes slow down
        start = time.thread_time()
        found = function(*arguments)
        # not of a failure, which takes less: callers could have slow requests run on the event loop
        if kind is not None:
            self._note(kind, time.thread_time() - start)
        return found

    def _note(self, kind: Hashable, seconds: float) -> None:
        if len(self._seconds) >= MAX_KINDS:
            self._seconds.clear()
        expected = self._seconds.get(kind, seconds)
        self._seconds[kind] = expected + _WEIGHT * (seconds - expected)

    def close(self) -> None:
        """Wait for what is running, and drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _free(self, _future: object) -> None:
        self._taken -= 1
