"""One measured step of a fresh process.

Its seconds and its peak memory are reported to the parent as a line of JSON.

Only the standard library: a peer's process, in its own environment, measures itself with the same
code.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PROCESS = Path("/proc/self/status")


class Steps:
    """Seconds of wall time and of this process's CPU by step name, in the order of the steps."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.cpu: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Measure a block."""
        started = time.perf_counter()
        worked = time.process_time()
        yield
        self.seconds[name] = time.perf_counter() - started
        self.cpu[name] = time.process_time() - worked

    def report(self, **facts: float) -> None:
        """Print the figures; the parent reads the last line of the standard output."""
        figures = {"seconds": self.seconds, "cpu": self.cpu, "peak_mib": peak_mib(), "facts": facts}
        print(json.dumps(figures), flush=True)


def peak_mib() -> float | None:
    """Return the peak memory of this process so far, MiB.

    It is None where the system does not report it.

    Not `getrusage`: a child's counter starts from what its parent had when it was started.
    """
    if not _PROCESS.exists():
        return None
    lines = dict(line.split(":", 1) for line in _PROCESS.read_text().splitlines())
    return int(lines["VmHWM"].split()[0]) / 1024
