"""Progress on stderr: bars on a terminal, plain lines otherwise, and nothing with `--quiet`."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console

from mlops_assets.cli.terminal.output import PlainConsole, errors

if TYPE_CHECKING:
    from mlops_assets.cli.terminal.progress_bars import Bars
    from mlops_assets.progress import Step

LINE_SECONDS = 10.0  # between two lines about one step


@contextmanager
def showing_progress() -> Iterator[None]:
    """Show what the core reports while the body runs."""
    from mlops_assets.progress import listening

    with _own_stderr() as console:
        bars = console.file.isatty() and not console.is_dumb_terminal
        with listening(Terminal(console) if bars else Lines(console)):
            yield


@contextmanager
def _own_stderr() -> Iterator[Console]:
    """Yield a console on a copy of stderr, as Dagster redirects stderr while a step runs."""
    try:
        copy = os.dup(sys.stderr.fileno())
    except (OSError, ValueError):  # stderr is not a file, as in some tests and notebooks
        yield errors
        return
    with os.fdopen(copy, "w", encoding=sys.stderr.encoding, errors="backslashreplace") as stream:
        yield PlainConsole(file=stream, soft_wrap=True)


class Terminal:
    """A bar for each step while it runs; finished steps stay above."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._bars: Bars | None = None

    def begin(self, step: Step) -> None:
        """See `Listener.begin`."""
        from mlops_assets.cli.terminal.progress_bars import Bars

        with self._lock:
            if self._bars is None:
                self._bars = Bars(self._console)
                self._bars.start()
            self._bars.add(step)

    def end(self, step: Step) -> None:
        """See `Listener.end`; results are printed below once no step is running."""
        with self._lock:
            if self._bars is not None and self._bars.finish(step):
                self._bars.stop()
                self._bars = None


class Lines:
    """A line when a step begins and when it ends, and one from time to time between."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lock = threading.Lock()
        self._running: dict[int, Step] = {}
        self._idle = threading.Event()

    def begin(self, step: Step) -> None:
        """See `Listener.begin`."""
        with self._lock:
            self._console.print(f"{step.what}{_amount(step)} …")
            self._running[id(step)] = step
            if len(self._running) == 1:
                self._idle = threading.Event()
                threading.Thread(
                    target=self._report, args=(self._idle,), name="progress", daemon=True
                ).start()

    def end(self, step: Step) -> None:
        """See `Listener.end`."""
        with self._lock:
            del self._running[id(step)]
            if not self._running:
                self._idle.set()
            self._console.print(f"{step.what}: {outcome(step)}")

    def _report(self, idle: threading.Event) -> None:
        while not idle.wait(LINE_SECONDS):
            with self._lock:
                for step in self._running.values():
                    if time.monotonic() - step.started >= LINE_SECONDS:
                        self._console.print(f"{step.what}: {state(step)}")


def fraction(step: Step) -> float | None:
    """Return the finished fraction of a step, 0 to 1, by bytes if possible; None if unknown."""
    done, total = (step.done_size, step.size) if step.size else (step.done, step.total)
    return min(done / total, 1.0) if total else None


def state(step: Step) -> str:
    """Return the progress of a step, its rates and the time left."""
    seconds = time.monotonic() - step.started
    parts = []
    if step.unit:
        parts.append(
            f"{step.done:,}/{_counted(step.total, step.unit)}"
            if step.total
            else _counted(step.done, step.unit)
        )
    if step.done_size:
        parts.append(
            f"{bytes_text(step.done_size)} of {bytes_text(step.size)}"
            if step.size
            else bytes_text(step.done_size)
        )
    rate, size_rate = _rates(step)
    left = _seconds_left(step, rate, size_rate)
    if left is not None:
        parts.append(f"{seconds_text(left)} left")
    if step.note:
        parts.append(step.note)  # before the rates, which a narrow terminal cuts off first
    if rate > 0:
        parts.append(_rate_text(rate, step.unit))
    if size_rate > 0:
        parts.append(f"{bytes_text(size_rate)}/s")
    return ", ".join(parts) if parts else seconds_text(seconds)


def outcome(step: Step) -> str:
    """Return the outcome of a step."""
    took = seconds_text(time.monotonic() - step.started)
    amount = ", ".join(
        filter(
            None,
            [
                _counted(step.done, step.unit) if step.unit and step.done else "",
                bytes_text(step.done_size) if step.done_size else "",
                step.note,
            ],
        )
    )
    ended = "stopped after" if step.failed else "done in"
    return f"{ended} {took}" + (f", {amount}" if amount else "")


def bytes_text(size: float) -> str:
    """Return a number of bytes in decimal units, as disks and networks count them."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:.3g} TB"


def seconds_text(seconds: float) -> str:
    """Return a duration in the unit that suits it."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


def _counted(count: int, unit: str) -> str:
    return f"{count:,} {unit.removesuffix('s') if count == 1 else unit}"


def _rate_text(rate: float, unit: str) -> str:
    if rate >= 0.95:
        return f"{rate:,.0f} {unit}/s" if rate >= 10 else f"{rate:.1f} {unit}/s"
    return f"{seconds_text(1 / rate)} each"


def _rates(step: Step) -> tuple[float, float]:
    """Return units and bytes per second since progress was first reported."""
    if step.first is None:
        return 0.0, 0.0
    when, done, size = step.first
    since = max(time.monotonic() - when, 1e-6)
    return (step.done - done) / since, (step.done_size - size) / since


def _seconds_left(step: Step, rate: float, size_rate: float) -> float | None:
    done, total, speed = (
        (step.done_size, step.size, size_rate) if step.size else (step.done, step.total, rate)
    )
    return (total - done) / speed if total and speed > 0 and done < total else None


def _amount(step: Step) -> str:
    if not step.total:
        return ""
    return f", {_counted(step.total, step.unit)}" + (
        f", {bytes_text(step.size)}" if step.size else ""
    )
