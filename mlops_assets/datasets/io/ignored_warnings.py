"""Warnings that are ignored while several threads may read.

`warnings.catch_warnings` alone changes filters of the whole process: a thread that leaves it first
would bring back what another still ignores.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

_lock = threading.Lock()
_filters = ExitStack()
_threads = 0


@contextmanager
def ignored_warnings(categories: Sequence[type[Warning]]) -> Iterator[None]:
    """Ignore warnings until the last of the threads that do so at the same time has left.

    Args:
        categories: the same in every call.
    """
    global _threads
    with _lock:
        if _threads == 0:
            _filters.enter_context(warnings.catch_warnings())
            for category in categories:
                warnings.simplefilter("ignore", category)
        _threads += 1
    try:
        yield
    finally:
        with _lock:
            _threads -= 1
            if _threads == 0:
                _filters.close()
