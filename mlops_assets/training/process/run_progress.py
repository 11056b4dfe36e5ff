"""The progress of a run in another process, read from the points that it logs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from mlops_assets import progress
from mlops_assets.errors import StorageError
from mlops_assets.registry import Registry
from mlops_assets.registry.runs import LoggedPoint

# points are written about as often
POLL_SECONDS = 1.0
# read at each poll: more than are logged at one step
MAX_POINTS = 32
# in a note
MAX_METRICS = 3


@contextmanager
def followed(
    registry: Registry, run_id: str, what: str, parameters: Mapping[str, object]
) -> Iterator[None]:
    """Report the progress of a run while the body waits for it.

    It reports epochs (else steps), and the newest metrics.

    Args:
        registry: contains the points.
        run_id: the run; it need not have begun.
        what: name of the work in the progress.
        parameters: of the trainer; `epochs`, if there is one, is the number of epochs.
    """
    epochs = parameters.get("epochs")
    total = epochs if isinstance(epochs, int) else None
    with progress.step(what, total, "steps" if total is None else "epochs") as step:
        if not progress.is_listened_to():
            yield
            return
        ended = threading.Event()
        follower = _Follower(registry, run_id, step)
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
    def __init__(self, registry: Registry, run_id: str, step: progress.Step) -> None:
        self._registry = registry
        self._run_id = run_id
        self._step = step

    def follow(self, ended: threading.Event) -> None:
        """Read new points until the run has ended, and then once more."""
        # points of an earlier attempt do not count for the rate
        self._read()
        while not ended.wait(POLL_SECONDS):
            self._read()
        self._read()

    def _read(self) -> None:
        try:
            points = self._registry.newest_points(self._run_id, MAX_POINTS)
        except StorageError:
            # the next poll tries again
            return
        if points:
            self._step.reach(points[-1][2] + 1, newest_metrics(points))


def newest_metrics(points: Sequence[LoggedPoint]) -> str:
    """Return the newest values of a few metrics as a text.

    Losses come first, then the others in the order they were logged.
    """
    newest = {name: value for _, name, _, value, _ in points}
    names = sorted(newest, key=lambda name: "loss" not in name)[:MAX_METRICS]
    return ", ".join(f"{name} {newest[name]:.4g}" for name in names)
