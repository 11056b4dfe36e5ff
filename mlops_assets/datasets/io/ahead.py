"""Work that threads do ahead of who takes its results, in batches, in order, bounded in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def in_order(
    pool: ThreadPoolExecutor, work: Callable[[T], R], items: Iterable[T], ahead: int
) -> Generator[R, None, None]:
    """Yield what `work` returns for each item, in the order of the items.

    What has not begun when the iterator is closed is not begun.

    Args:
        pool: does the work.
        work: called with an item.
        items: taken one by one, by the calling thread.
        ahead: results that are computed or wait while one is used.
    """
    under_way: deque[Future[R]] = deque()
    try:
        for item in items:
            under_way.append(pool.submit(work, item))
            if len(under_way) > ahead:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()
    finally:
        for future in under_way:
            future.cancel()


def batches(
    items: Iterable[T], size_of: Callable[[T], int], most: int, most_bytes: int
) -> Iterator[list[T]]:
    """Divide items, in their order, into batches that one thread takes at once.

    Args:
        items: to divide.
        size_of: returns the size of an item in bytes.
        most: items of a batch at most.
        most_bytes: a batch ends with the item that reaches this size.
    """
    batch: list[T] = []
    size = 0
    for item in items:
        batch.append(item)
        size += size_of(item)
        if len(batch) >= most or size >= most_bytes:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
