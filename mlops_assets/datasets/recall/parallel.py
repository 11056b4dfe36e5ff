"""Work on the files of a data version in threads, with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mlops_assets.datasets.recall.objects import StoredFile, file_batches
from mlops_assets.progress import step

R = TypeVar("R")


def in_parallel(
    what: str, work: Callable[[StoredFile], R], files: Sequence[StoredFile], threads: int
) -> Iterator[R]:
    """Yield what `work` returns for each file, in order; see `in_groups`."""
    return in_groups(what, lambda group: map(work, group), list(file_batches(files)), threads)


def in_groups(
    what: str,
    work: Callable[[Sequence[StoredFile]], Iterable[R]],
    groups: Sequence[Sequence[StoredFile]],
    threads: int,
) -> Iterator[R]:
    """Yield what `work` yields for each file of each group, in order.

    The first exception ends it: what has not begun is not begun.

    Args:
        what: description of the work, for progress.
        work: called with a group; yields one result a file.
        groups: of files.
        threads: groups at once.
    """
    size = sum(file.size for group in groups for file in group)
    with (
        step(what, sum(map(len, groups)), "files", size) as done,
        ThreadPoolExecutor(threads) as pool,
    ):

        def run(group: Sequence[StoredFile]) -> list[R]:
            results = []
            for file, result in zip(group, work(group), strict=True):
                results.append(result)
                done.advance(size=file.size)
            return results

        for results in pool.map(run, groups):
            yield from results
