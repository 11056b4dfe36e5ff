"""Readiness of a hub: whether what it relies on answers.

Whoever probes has no token, so a reason names no host, no bucket and no error; the log has these.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotInTime
from dataclasses import dataclass, field

from mlops_assets.errors import SpecificationError, StorageUnreachable
from mlops_assets.hub.views.health import health
from mlops_assets.store import Store

# of each part; Kubernetes waits for a probe for one second unless its manifest has another limit
LIMIT_SECONDS = 2.0
# probes of several kubelets and load balancers are answered from one check
KEPT_SECONDS = 2.0
WELL = "ok"
_NO_FOLDER = "health-probe"

_REASONS: dict[type[Exception], str] = {
    StorageUnreachable: "is unreachable",
    SpecificationError: "cannot load the project",
}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Readiness:
    """The state of each part that a hub relies on.

    Attributes:
        parts: part → `ok`, or why it cannot be used.
    """

    parts: Mapping[str, str]

    @property
    def is_ready(self) -> bool:
        """Whether all parts are well."""
        return all(state == WELL for state in self.parts.values())


@dataclass
class ReadinessProbe:
    """Checks the parts that a hub relies on, at most once every `KEPT_SECONDS`.

    Attributes:
        parts: part → a check, which returns `ok` or a reason without secrets, or raises.
    """

    parts: Mapping[str, Callable[[], str]]
    _pool: ThreadPoolExecutor = field(init=False)
    _running: dict[str, Future[str]] = field(default_factory=dict)
    _kept: tuple[float, Readiness] | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Have a thread for each part."""
        self._pool = ThreadPoolExecutor(max(1, len(self.parts)), thread_name_prefix="readiness")

    def read(self) -> Readiness:
        """Return the state, which may be a few seconds old."""
        with self._lock:
            if self._kept is not None and time.monotonic() - self._kept[0] < KEPT_SECONDS:
                return self._kept[1]
            # what hangs keeps its thread, and no other check of the same part begins
            for name, check in self.parts.items():
                if name not in self._running:
                    self._running[name] = self._pool.submit(_checked, name, check)
            until = time.monotonic() + LIMIT_SECONDS
            found = Readiness({name: self._outcome(name, until) for name in self.parts})
            self._kept = (time.monotonic(), found)
            return found

    def close(self) -> None:
        """Begin no further check."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _outcome(self, name: str, until: float) -> str:
        try:
            state = self._running[name].result(max(0.0, until - time.monotonic()))
        except NotInTime:
            return f"does not answer within {LIMIT_SECONDS:g} s"
        del self._running[name]
        return state


def _checked(name: str, check: Callable[[], str]) -> str:
    try:
        return check()
    except Exception as error:  # noqa: BLE001 - a probe reports, whatever a library raises
        reason = _REASONS.get(type(error), "cannot be used")
        log.warning("%s %s: %s", name, reason, error)
        return f"{reason}; see the log of the hub"


def registry_state(store: Store) -> str:
    """Return whether the registry answers, with the schema of this release."""
    found = health(store)
    if not found.notice:
        return WELL
    log.warning("the registry is not well: %s", found.notice)
    return "cannot be used; see the log of the hub"


def workspace_state(store: Store) -> str:
    """Return whether the workspace answers; what it holds makes no difference.

    Raises:
        StorageError: it does not.
    """
    # a folder that is gone is no empty one
    if store.workspace.is_local and not store.workspace.root.is_dir():
        return "is missing; see the log of the hub"
    # lists nothing; the metadata of one file is missing where the bucket is, too
    next(store.workspace.list(_NO_FOLDER), None)
    return WELL
