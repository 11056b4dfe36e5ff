"""Facts of the machine that a process runs on, and how it uses its memory."""

from __future__ import annotations

import atexit
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# objects of the youngest generation, and collections of it and the next, before one of the next
GC_THRESHOLDS = (50_000, 20, 20)
_CPUS = Path("/proc/cpuinfo")


def cpu_name() -> str:
    """Return the name of the processor, empty if the system does not report it."""
    if _CPUS.exists():
        for line in _CPUS.read_text(errors="replace").splitlines():
            label, _, value = line.partition(":")
            if label.strip() == "model name":
                return value.strip()
    return platform.processor()


@contextmanager
def collecting_nothing() -> Iterator[None]:
    """Search for no garbage in a block that makes objects which stay, such as definitions.

    They are not searched through afterwards either. Of the time to load 100 models, and to make
    Dagster's snapshot of them, a sixth went into it; see `benchmarks/README.md`.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


def collect_less_garbage() -> None:
    """Let this process search for garbage less often than Python's thresholds have it.

    Imports make many objects and no garbage. Of a commit's time a fifth went into the search for
    it.
    """
    if gc.get_threshold()[0] < GC_THRESHOLDS[0]:
        gc.set_threshold(*GC_THRESHOLDS)


def collect_nothing_at_exit() -> None:
    """Let the interpreter leave the garbage of all libraries, which takes seconds to collect."""
    atexit.register(gc.freeze)
