"""Views that are kept until the registry changes, each for whom it is.

What follows the clock, too, is kept for a minute at most.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from mlops_assets.store import Store

T = TypeVar("T")
MAX_KEPT = 64
SECONDS = 60.0


@dataclass
class KeptViews(Generic[T]):
    """Results of a function of a store.

    Several callers at once wait for one that computes.
    """

    function: Callable[[Store], T]
    _found: OrderedDict[Hashable, tuple[float, T]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _computing: dict[Hashable, threading.Lock] = field(default_factory=dict)

    def of(self, store: Store) -> T:
        """Return the result for a store; it is computed if the registry has changed since."""
        registry = store.registry
        entry = registry.newest_entry()  # before it is computed, so that no change is missed
        whose = (registry.url, store.workspace.url, registry.principal)
        key = (*whose, entry)
        with self._lock:
            own = self._computing.setdefault(key, threading.Lock())
        try:
            with own:
                known = self._known(key)
                if known is not None:
                    return known[1]
                found = self.function(store)
                self._keep(key, found)
                return found
        finally:
            with self._lock:
                self._computing.pop(key, None)

    def _known(self, key: Hashable) -> tuple[float, T] | None:
        with self._lock:
            known = self._found.get(key)
            if known is None or time.monotonic() - known[0] > SECONDS:
                return None
            self._found.move_to_end(key)
            return known

    def _keep(self, key: Hashable, found: T) -> None:
        with self._lock:
            self._found[key] = (time.monotonic(), found)
            self._found.move_to_end(key)
            while len(self._found) > MAX_KEPT:
                self._found.popitem(last=False)
