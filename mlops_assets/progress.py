"""Progress of long work: steps that the core reports, and their listeners.

Display is the business of `cli.terminal.progress`. Without a listener, reporting costs next to
nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, TypeVar

T = TypeVar("T")


class Step:
    """One piece of work under way.

    The work counts in it, from any thread; a listener reads it whenever it likes.

    Attributes:
        what: description of the work, e.g. `storing indian_pines`.
        total: number of units, if known.
        unit: name of the units in the plural, e.g. `files`.
        size: number of bytes, if known.
        done: units done.
        done_size: bytes done.
        note: latest information, e.g. the newest loss.
        started: time of the beginning, in seconds of the monotonic clock.
        first: time, units and bytes done when progress was first reported: rates count from there.
        failed: True if it ended with an exception.
    """

    def __init__(
        self, what: str, total: int | None = None, unit: str = "", size: int | None = None
    ) -> None:
        self.what = what
        self.total = total
        self.unit = unit
        self.size = size
        self.done = 0
        self.done_size = 0
        self.note = ""
        self.failed = False
        self.started = time.monotonic()
        self.first: tuple[float, int, int] | None = None
        self._lock = threading.Lock()

    def advance(self, more: int = 1, size: int = 0) -> None:
        """Count more units, and their bytes."""
        with self._lock:
            self.done += more
            self.done_size += size
            self._note_first()

    def reach(self, done: int, note: str = "") -> None:
        """Set the number of units done, for work that is observed rather than counted."""
        self.done = done
        self.note = note
        self._note_first()

    def _note_first(self) -> None:
        if self.first is None:
            self.first = time.monotonic(), self.done, self.done_size


class Listener(Protocol):
    """A display of progress."""

    def begin(self, step: Step) -> None:
        """A piece of work begins; others may be under way, around it or beside it."""
        ...

    def end(self, step: Step) -> None:
        """A piece of work has ended."""
        ...


L = TypeVar("L", bound=Listener)
_listeners: list[Listener] = []  # one at most, unless one is put in front of another


@contextmanager
def step(
    what: str, total: int | None = None, unit: str = "", size: int | None = None
) -> Iterator[Step]:
    """Report a piece of work from its beginning to its end; see `Step` for the arguments."""
    found = Step(what, total, unit, size)
    listener = _listeners[-1] if _listeners and total != 0 else None
    if listener is None:
        yield found
        return
    listener.begin(found)
    try:
        yield found
    except BaseException:
        found.failed = True
        raise
    finally:
        listener.end(found)


def each(what: str, things: Sequence[T], unit: str) -> Iterator[T]:
    """Yield things one after another, and report the number done."""
    with step(what, len(things), unit) as done:
        for thing in things:
            yield thing
            done.advance()


@contextmanager
def listening(listener: L) -> Iterator[L]:
    """Give all progress of this process to a listener."""
    _listeners.append(listener)
    try:
        yield listener
    finally:
        _listeners.remove(listener)


def is_listened_to() -> bool:
    """Return whether there is a listener, for work whose progress is costly to measure."""
    return bool(_listeners)
