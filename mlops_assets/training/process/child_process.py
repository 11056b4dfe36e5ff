"""The protocol between a process and a child that carries out one request.

The parent writes the request to a file, starts the child with the path of that file, and waits for
it within limits. The child leaves its outcome beside the request.

The requests are those of `training.process.worker` and `hub.publisher`.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Protocol, TypeVar

import psutil
from pydantic import Field

from mlops_assets.principals import Principal
from mlops_assets.settings import parent_registry
from mlops_assets.strict import Strict

if TYPE_CHECKING:
    from mlops_assets.store import Store

POLL_SECONDS = 0.2
# for a child to record that it was stopped, before it is killed
GRACE_SECONDS = 15.0
# characters of the message of an error; the log of the process has all of it
MAX_MESSAGE = 10_000
_REQUEST = "request.json"
# beside the request
_OUTCOME = "outcome.json"

log = logging.getLogger(__name__)


class ChildRequest(Strict):
    """A request to a child process, which works on the same storage as its parent.

    Attributes:
        workspace: URL of the workspace.
        cache: folder of its cache.
        registry: URL of the registry. It may have a password, and so is not written to the file
            but passed in the environment.
        principal: on whose behalf the child acts.
        import_path: folders that modules are imported from, before the child's own.
    """

    workspace: str
    cache: Path
    registry: str = Field(default_factory=parent_registry, exclude=True, repr=False)
    principal: Principal
    import_path: list[str] = Field(default=[])

    def open_store(self) -> Store:
        """Open the storage, acting for the principal.

        Raises:
            StorageError: the workspace or the registry cannot be opened.
        """
        from mlops_assets.registry import open_registry
        from mlops_assets.storage import Workspace
        from mlops_assets.store import Store

        registry = open_registry(self.registry).acting(self.principal)
        return Store(Workspace(self.workspace, self.cache), registry)


class ChildOutcome(Strict):
    """The outcome of a request: a result, or the class and the message of an error."""

    result: str | None = None
    error: str | None = None
    message: str = ""


class Child(Protocol):
    """A running child process, with the interface of `subprocess.Popen`."""

    @property
    def pid(self) -> int:
        """Its process id."""
        ...

    @property
    def returncode(self) -> int | None:
        """Its exit code, negative for a signal; None while it runs."""
        ...

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        ...

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it exits.

        Raises:
            subprocess.TimeoutExpired: it is still running after so many seconds.
        """
        ...

    def terminate(self) -> None:
        """Send it SIGTERM."""
        ...


RequestType = TypeVar("RequestType", bound=ChildRequest)


def write_request(folder: Path, request: ChildRequest) -> Path:
    """Write a request into a folder of its own, and return the path of its file."""
    path = folder / _REQUEST
    path.write_text(request.model_dump_json())
    return path


def read_request(path: Path, kind: type[RequestType]) -> RequestType:
    """Read a request in the child, and put its import path first."""
    request = kind.model_validate_json(path.read_bytes())
    others = [entry for entry in sys.path if entry not in request.import_path]
    sys.path[:] = [*request.import_path, *others]
    return request


def write_outcome(request: Path, outcome: ChildOutcome) -> None:
    """Leave the outcome beside the file of the request, whole or not at all.

    The end of a very long message is left out: it is stored and shown in many places.
    """
    if len(outcome.message) > MAX_MESSAGE:
        shortened = f"{outcome.message[:MAX_MESSAGE]}…"
        outcome = outcome.model_copy(update={"message": shortened})
    path = request.parent / _OUTCOME
    unfinished = path.with_suffix(".part")
    # this JSON can hold a message that is not valid UTF-8, as it may name any file
    unfinished.write_text(json.dumps(outcome.model_dump()))
    unfinished.replace(path)


def read_outcome(request: Path) -> ChildOutcome | None:
    """Return the outcome of a request; None if the child has left none."""
    path = request.parent / _OUTCOME
    return ChildOutcome.model_validate(json.loads(path.read_bytes())) if path.exists() else None


def start_child(
    arguments: Sequence[str], environment: Mapping[str, str], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own.

    Its standard input stays open as long as this process is running.

    Args:
        arguments: of the Python interpreter.
        environment: all variables of the child.
        output: file of what it prints.
    """
    return subprocess.Popen(  # nosec B603
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=subprocess.STDOUT,
        env=environment,
        start_new_session=True,
    )


def signal_without_parent(number: int) -> None:
    """Send this process a signal when the one that started it is gone.

    Its end of the pipe to standard input, which `start_child` makes, is closed then.
    """

    def wait() -> None:
        if sys.stdin is not None:
            while os.read(sys.stdin.fileno(), 1024):
                pass
            os.kill(os.getpid(), number)

    threading.Thread(target=wait, daemon=True).start()


def wait_for(child: Child, check: Callable[[], str | None]) -> str | None:
    """Wait until a child exits, and stop it when it exceeds a limit.

    Processes of its session that are left are killed.

    Args:
        child: the process.
        check: called at every poll; returns the limit that is exceeded, if any. If it raises, the
            child is stopped too.

    Returns:
        Why the child was stopped or killed; None if it exited by itself.
    """
    try:
        while child.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                child.wait(POLL_SECONDS)
            exceeded = check()
            if exceeded is not None:
                stop_child(child)
                return exceeded
    except BaseException:
        stop_child(child)
        raise
    finally:
        if isinstance(child, subprocess.Popen) and child.stdin is not None:
            child.stdin.close()
    _end_session(child.pid)
    if child.returncode is not None and child.returncode < 0:
        return f"was killed by {_signal_name(-child.returncode)}"
    return None


def _signal_name(number: int) -> str:
    """Return the name of a signal, with its likely cause; real-time signals have numbers only."""
    if number == signal.SIGKILL:
        return "SIGKILL; most likely the machine is out of memory"
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def stop_child(child: Child) -> None:
    """Ask a child to exit, and kill it with its descendants if it does not."""
    members = family(child.pid)
    child.terminate()
    try:
        child.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        log.warning("process %s does not exit; killing it", child.pid)
    for member in {*members, *family(child.pid)}:
        with suppress(psutil.Error):
            member.kill()
    child.wait()


def _end_session(leader: int) -> None:
    """Kill the processes of the session of a child that has exited."""
    # a process with its id is another one, and so is its session
    if psutil.pid_exists(leader):
        return
    for process in psutil.process_iter():
        with suppress(OSError, psutil.Error):
            if os.getsid(process.pid) == leader:
                log.warning("process %s outlived the one that started it; killing it", process.pid)
                process.kill()
                process.wait(GRACE_SECONDS)


def family(pid: int) -> list[psutil.Process]:
    """Return a process and its descendants; none if it has exited."""
    try:
        parent = psutil.Process(pid)
        return [parent, *parent.children(recursive=True)]
    except psutil.Error:
        return []
