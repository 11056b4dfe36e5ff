"""Ctrl-C while a command follows a run that other processes execute."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Self


class StillRunning(KeyboardInterrupt):
    """The command is interrupted, and the run that it follows is not.

    The message has the commands that follow the run and cancel it.
    """


def still_running(run_id: str, reason: str = "", cancelled: bool = False) -> StillRunning:
    """Return the interruption of a command whose run is left running.

    Args:
        run_id: of the Dagster run.
        reason: why it is not cancelled; empty if the user wants that.
        cancelled: whether its end has been asked for already.
    """
    name = run_id[:8]
    if cancelled:
        return StillRunning(
            f"Dagster's run {name} is being cancelled, and this command does not wait for its end;"
            f" follow it with 'mlops run follow {name}'"
        )
    because = f" ({reason})" if reason else ""
    return StillRunning(
        f"Dagster's run {name} is left running{because}; follow it with 'mlops run follow {name}',"
        f" cancel it with 'mlops run cancel {name}'"
    )


class Interrupts:
    """SIGINT as a request while the block runs: the first is noted, the second ends the block.

    An ignored SIGINT, such as that of a command in the background, stays ignored. In other threads
    than the main one nothing changes.

    Args:
        run_id: of the Dagster run that is followed.
        cancel: whether the first is a request to cancel the run; if not, it ends the block.
    """

    def __init__(self, run_id: str, cancel: bool = True) -> None:
        self.run_id = run_id
        self.requested = False
        # set by who cancels the run
        self.cancelled = False
        self._cancel = cancel
        self._changed = threading.Event()
        self._before: object = None

    def __enter__(self) -> Self:
        """Receive the signal."""
        if threading.current_thread() is threading.main_thread():
            before = signal.getsignal(signal.SIGINT)
            if before is not signal.SIG_IGN:
                self._before = before
                signal.signal(signal.SIGINT, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Give the signal back to whom it went before."""
        if self._before is not None:
            signal.signal(signal.SIGINT, self._before)  # type: ignore[arg-type]

    def wait(self, seconds: float) -> None:
        """Wait, until the first interrupt at most."""
        self._changed.wait(seconds)
        # what follows waits in full again: the request is in `requested`
        self._changed.clear()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.requested or not self._cancel:
            raise still_running(self.run_id, cancelled=self.cancelled)
        self.requested = True
        self._changed.set()
