"""Threads that answer requests, and a queue before them that is never longer than it should be."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mlops_assets.errors import RequestRefused

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

    async def run(self, function: Callable[..., T], *arguments: object) -> T:
        """Return what a function returns, called in a thread.

        Args:
            function: the function.
            *arguments: its arguments.

        Raises:
            RequestRefused: too many requests wait.
        """
        self.check()
        self._taken += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, function, *arguments)
        # also of a call whose caller has gone, which is still running
        future.add_done_callback(self._free)
        return await asyncio.shield(future)

    def close(self) -> None:
        """Wait for what is running, and drop what waits."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _free(self, _future: object) -> None:
        self._taken -= 1
