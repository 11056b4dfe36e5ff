"""The progress of a run in another process, read from the points that it logs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from mlops_assets import progress
from mlops_assets.errors import StorageError
from mlops_assets.registry import Registry
from mlops_assets.registry.runs import LoggedPoint
from mlops_assets.text.printable import printable

# points are written about as often
POLL_SECONDS = 1.0
# read at each poll: more than are logged at one step
MAX_POINTS = 32
# in a note
MAX_METRICS = 3
# between two lines of a log, and their share of the time that the run has taken: a day has about a
# hundred lines, as each is an event of Dagster
LINE_SECONDS = 10.0
LINE_SHARE = 0.05


@contextmanager
def followed(
    registry: Registry,
    run_id: str,
    what: str,
    parameters: Mapping[str, object],
    report: Callable[[str], None] | None = None,
) -> Iterator[None]:
    """Report the progress of a run while the body waits for it.

    It reports epochs (else steps), and the newest metrics.

    Args:
        registry: contains the points.
        run_id: the run; it need not have begun.
        what: name of the work in the progress.
        parameters: of the trainer; `epochs`, if there is one, is the number of epochs.
        report: called with a line for a log at most every ten seconds, more rarely the longer the
            run takes, and with the last one; in a thread.
    """
    epochs = parameters.get("epochs")
    total = epochs if isinstance(epochs, int) else None
    with progress.step(what, total, "steps" if total is None else "epochs") as step:
        if report is None and not progress.is_listened_to():
            yield
            return
        ended = threading.Event()
        lines = None if report is None else Lines(report, step.total, time.monotonic())
        follower = _Follower(registry, run_id, step, lines)
        thread = threading.Thread(
            target=follower.follow, args=(ended,), name=f"following-{run_id[:8]}", daemon=True
        )
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


class _Follower:
    def __init__(
        self, registry: Registry, run_id: str, step: progress.Step, lines: Lines | None
    ) -> None:
        self._registry = registry
        self._run_id = run_id
        self._step = step
        self._lines = lines

    def follow(self, ended: threading.Event) -> None:
        """Read new points until the run has ended, and then once more."""
        # points of an earlier attempt do not count for the rate
        self._read()
        while not ended.wait(POLL_SECONDS):
            self._read()
        self._read(last=True)

    def _read(self, last: bool = False) -> None:
        try:
            points = self._registry.newest_points(self._run_id, MAX_POINTS)
        except StorageError:
            # the next poll tries again
            return
        if points:
            self._step.reach(points[-1][2] + 1, newest_metrics(points))
        if points and self._lines is not None:
            self._lines.follow(points, time.monotonic(), last)


class Lines:
    """The lines of a log about a run: one for a step at most, and not too many."""

    def __init__(self, report: Callable[[str], None], epochs: int | None, started: float) -> None:
        """Report from now on.

        Args:
            report: called with each line.
            epochs: number of epochs, if known.
            started: time of the beginning, in seconds of the monotonic clock.
        """
        self._report = report
        self._epochs = epochs
        self._started = started
        self._due = started
        self._reported: int | None = None

    def follow(self, points: Sequence[LoggedPoint], now: float, last: bool = False) -> None:
        """Report the newest step if a line is due.

        Args:
            points: the newest ones, at least one.
            now: the time.
            last: whether no more points will follow.
        """
        done = points[-1][2] + 1
        if done == self._reported or not (last or now >= self._due):
            return
        self._reported = done
        self._due = now + max(LINE_SECONDS, LINE_SHARE * (now - self._started))
        counted = f"step {done}"
        if self._epochs is not None and done <= self._epochs:
            counted = f"epoch {done} of {self._epochs}"
        self._report(printable(f"{counted}: {newest_metrics(points)}"))


def newest_metrics(points: Sequence[LoggedPoint]) -> str:
    """Return the newest values of a few metrics as a text.

    Losses come first, then the others in the order they were logged.
    """
    newest = {name: value for _, name, _, value, _ in points}
    names = sorted(newest, key=lambda name: "loss" not in name)[:MAX_METRICS]
    return ", ".join(f"{name} {newest[name]:.4g}" for name in names)
