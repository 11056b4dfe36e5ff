"""A step of a life in a fork of a preloaded process, with planted faults and a deadline."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import psutil

from mlops_assets.registry import Registry
from mlops_assets.registry.patience import patiently
from mlops_assets.registry.runs import LoggedPoint
from mlops_assets.registry.runs.points import RunPoints
from mlops_assets.training.checkpoints import Checkpoints
from mlops_assets_tests import interpreter
from mlops_assets_tests.faults.life import STEPS, opened, watched

DEADLINE = 120.0  # seconds that a step may take, whatever befalls it
AWAY_SECONDS = 5.0  # that a training waits for its registry, instead of ten minutes
GONE_WITHIN = (
    30.0  # seconds after which nothing is left of a killed process and what it has started
)
KILLED = 86  # exit status
_CAPABILITIES_3 = 0x20080522  # version of the structures of capset(2)


@dataclass
class Ended:
    """The end of a step in its process.

    Attributes:
        status: its exit status; negative for a signal.
        error: kind and text of the error that it raised.
        acknowledged: the acknowledged state: how many points of which run, and up to which
            step there are checkpoints; "step" once it was done.
        seconds: from its first instruction to its end.
    """

    status: int | None
    error: tuple[str, str] | None = None
    acknowledged: dict[str, Any] = field(default_factory=dict)
    seconds: float = 0.0


def forked(
    root: Path,
    step: str,
    *,
    die_before: int | None = None,
    kill_after: float | None = None,
    unprivileged: bool = False,
) -> Ended:
    """Do a step in a process of its own.

    Args:
        root: the workspace.
        step: one of `STEPS`.
        die_before: number of the durable operation before which it exits unexpectedly.
        kill_after: seconds after which it is killed.
        unprivileged: whether modes of files and folders bind it though it is root's.

    Raises:
        AssertionError: it, or what it has started, is still there when it should not be.
    """
    interpreter.start_server()
    context = multiprocessing.get_context("forkserver")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(
        target=_do, args=(root, step, die_before, unprivileged, tempfile.gettempdir(), writer)
    )
    process.start()
    writer.close()
    assert reader.poll(DEADLINE) and reader.recv() == ("begun", None)
    begun = time.monotonic()
    family: list[psutil.Process] = []
    if kill_after is not None:
        process.join(kill_after)
        family = _family(process.pid)
        process.kill()
    process.join(DEADLINE)
    ended = Ended(process.exitcode, seconds=time.monotonic() - begun)
    _require_gone(process, family, step)
    while reader.poll():
        try:
            what, value = reader.recv()
        except EOFError:
            break
        if what == "error":
            ended.error = value
        else:
            ended.acknowledged[what] = value
    reader.close()
    process.close()
    return ended


def _family(pid: int | None) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _require_gone(process: BaseProcess, family: list[psutil.Process], step: str) -> None:
    hangs = process.is_alive()
    if hangs:
        family += _family(process.pid)
        process.kill()
        process.join()
    _, left = psutil.wait_procs(family, GONE_WITHIN)
    for other in left:
        other.kill()
    assert not hangs, f"{step} still runs after {DEADLINE:g} s"
    assert not left, f"{step} was killed, and {GONE_WITHIN:g} s later {left} still run"


def _do(
    root: Path,
    step: str,
    die_before: int | None,
    unprivileged: bool,
    temporary: str,
    writer: Connection,
) -> None:
    multiprocessing.current_process().daemon = False  # it may have processes of its own
    os.environ["TMPDIR"] = tempfile.tempdir = temporary
    patiently.__defaults__ = (AWAY_SECONDS,)
    if unprivileged:
        drop_privileges()
    if die_before is None:
        dying: AbstractContextManager[None] = nullcontext()
    else:
        left = iter(range(die_before, -1, -1))

        def die(_what: str) -> None:
            if next(left) == 0:
                os._exit(KILLED)

        dying = watched(root, die)
    writer.send(("begun", None))
    try:
        with dying, _acknowledging(lambda what, value: writer.send((what, value))):
            STEPS[step](opened(root))
        writer.send(("step", True))
    except Exception as error:  # noqa: BLE001  the test checks it
        writer.send(("error", (type(error).__name__, str(error))))


@contextmanager
def _acknowledging(report: Callable[[str, tuple[str, int]], None]) -> Iterator[None]:
    """Report each batch of points, and each checkpoint, once it is reported as kept."""
    log, save = Registry.log, Checkpoints.save

    def logged(self: RunPoints, run_id: str, points: Sequence[LoggedPoint]) -> None:
        log(self, run_id, points)
        if points:
            report("points", (run_id, points[-1][0] + 1))

    def saved(self: Checkpoints, state: Any, step: int, seq: int) -> None:
        save(self, state, step, seq)
        report("checkpoint", (self._run_id, step))

    Registry.log, Checkpoints.save = logged, saved  # type: ignore[method-assign]
    try:
        yield
    finally:
        Registry.log, Checkpoints.save = log, save  # type: ignore[method-assign]


def drop_privileges() -> None:
    """Give up the capabilities of this process, so that file and folder modes bind root too."""
    header, none = (ctypes.c_uint32 * 2)(_CAPABILITIES_3, 0), (ctypes.c_uint32 * 6)()
    if os.geteuid() == 0 and ctypes.CDLL(None, use_errno=True).capset(header, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")
