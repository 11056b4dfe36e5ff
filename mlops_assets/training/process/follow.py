"""A run followed from outside by the points it logs, while its trainer is in another process."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlops_assets import progress
from mlops_assets.errors import StorageError
from mlops_assets.registry import Registry
from mlops_assets.registry.runs import LoggedPoint

POLL_SECONDS = 1.0  # points are written about as often
MAX_POINTS = 32  # what is read of a run each time: more than are logged at one step
MAX_SHOWN = 3  # metrics in a note


@contextmanager
def followed(
    registry: Registry, run_id: str, what: str, parameters: Mapping[str, Any]
) -> Iterator[None]:
    """Report the progress of a run while the body waits for it.

    It reports epochs (else steps), and the newest metrics.

    Args:
        registry: where it logs.
        run_id: the run; it need not have begun.
        what: what progress calls it.
        parameters: of the trainer; `epochs`, if there is such a parameter, is how many there are.
    """
    epochs = parameters.get("epochs")
    counted = isinstance(epochs, int)
    with progress.step(what, epochs if counted else None, "epochs" if counted else "steps") as step:
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
        self._registry, self._run_id, self._step = registry, run_id, step

    def follow(self, ended: threading.Event) -> None:
        """Read new points until the run has ended, and then once more."""
        self._read()  # what an earlier attempt has logged does not count for the rate
        while not ended.wait(POLL_SECONDS):
            self._read()
        self._read()

    def _read(self) -> None:
        try:
            points = self._registry.newest_points(self._run_id, MAX_POINTS)
        except StorageError:  # it is asked again soon
            return
        if points:
            self._step.reach(points[-1][2] + 1, newest_metrics(points))


def newest_metrics(points: Sequence[LoggedPoint]) -> str:
    """Return the newest values of a few metrics as a text.

    Losses come first, then the others in the order they were logged.
    """
    newest = {name: value for _, name, _, value, _ in points}
    names = sorted(newest, key=lambda name: "loss" not in name)[:MAX_SHOWN]
    return ", ".join(f"{name} {newest[name]:.4g}" for name in names)
