"""A preloaded process that workers are forked from, to start in milliseconds.

The forked process runs `worker`, or another module that carries out a request; `supervisor` starts
and watches it. The standard library's `multiprocessing.forkserver` takes no environment, and OpenMP
and BLAS read theirs when they are loaded.
"""

from __future__ import annotations

import atexit
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess  # nosec B404
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from pydantic import Field

from mlops_assets.strict import Strict

# variables that libraries read while they are loaded: other values need another preloaded process
READ_AT_IMPORT = (
    "ATEN_",
    "BLIS_",
    "CUDA_",
    "DNNL_",
    "GOMP_",
    "KMP_",
    "LD_",
    "MKL_",
    "NPY_",
    "OMP_",
    "ONEDNN_",
    "OPENBLAS_",
    "PYTHON",
    "TF_",
    "TORCH_",
)
MAX_MESSAGE_BYTES = 1 << 20
# module that carries out the request of a training
TRAINING = "mlops_assets.training.process.worker"


class Fork(Strict):
    """A request to fork a worker.

    Attributes:
        request: file of the worker's request.
        cwd: its working directory.
        environment: its variables.
        module: its `main` carries out the request.
    """

    request: Path
    cwd: Path
    environment: dict[str, str]
    module: str = TRAINING


class ForkMessage(Strict):
    """A message to the preloaded process: modules to import, then a worker to fork, if any."""

    modules: list[str] = Field(default=[])
    fork: Fork | None = None

    def encode(self) -> bytes:
        """Return it as JSON, in which paths and variables need not be valid UTF-8."""
        return json.dumps(self.model_dump(), default=str).encode()

    @classmethod
    def decode(cls, content: bytes) -> ForkMessage:
        """Return the message of `encode`."""
        return cls.model_validate(json.loads(content))


class ForkedProcess:
    """A process forked by another one, with the interface of `subprocess.Popen`.

    Attributes:
        pid: its process id.
        returncode: as Popen's: negative for a signal, None while it runs.
    """

    def __init__(self, status: int) -> None:
        """Wait for the process id.

        Raises:
            OSError: it could not be forked.
        """
        self._status = os.fdopen(status)
        self.returncode: int | None = None
        first = self._status.readline()
        if not first:
            self._status.close()
            raise OSError("the preloaded process is gone; nothing was started")
        self.pid = int(first)

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self._ended(0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it ends.

        Raises:
            subprocess.TimeoutExpired: it still runs after so many seconds.
        """
        code = self._ended(timeout)
        if code is None:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        return code

    def terminate(self) -> None:
        """Ask it to end."""
        if self.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)

    def _ended(self, timeout: float | None) -> int | None:
        if self.returncode is None and select.select([self._status], [], [], timeout)[0]:
            line = self._status.readline()
            self._status.close()
            if not line:
                # its parent was killed, so nothing else would report or end it
                for kill in (os.killpg, os.kill):
                    with suppress(ProcessLookupError):
                        kill(self.pid, signal.SIGKILL)
            self.returncode = int(line) if line else -signal.SIGKILL
        return self.returncode


class ForkServer:
    """One preloaded process; it ends with the process that started it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; it imports the modules of every worker while the caller continues."""
        self._lock = threading.Lock()
        self._loaded: set[str] = set()
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [sys.executable, "-m", __name__, str(other.fileno())]
        with other:
            self._process = subprocess.Popen(  # nosec B603
                command,
                stdin=subprocess.PIPE,
                env=dict(environment),
                pass_fds=[other.fileno()],
                start_new_session=True,
            )

    def load(self, modules: Sequence[str]) -> None:
        """Let it import modules before it forks the next worker; return at once.

        Args:
            modules: their names; importing them must start no threads.
        """
        # `start` reports that it is gone
        with self._lock, suppress(OSError):
            new = [name for name in modules if name not in self._loaded]
            if new:
                self._socket.send(ForkMessage(modules=new).encode())
                self._loaded.update(new)

    def start(
        self,
        request: Path,
        output: IO[bytes],
        environment: Mapping[str, str],
        module: str = TRAINING,
    ) -> ForkedProcess:
        """Fork a worker, in a session of its own.

        Args:
            request: file of its request.
            output: file that it prints to.
            environment: its variables; those of `READ_AT_IMPORT` as this process has them.
            module: its `main` is called with the path of the request, and returns the exit code.

        Raises:
            OSError: the preloaded process is gone.
        """
        fork = Fork(request=request, cwd=Path.cwd(), environment=dict(environment), module=module)
        message = ForkMessage(fork=fork).encode()
        reader, writer = os.pipe()
        try:
            with self._lock:
                socket.send_fds(self._socket, [message], [output.fileno(), writer])
        except OSError:
            os.close(reader)
            raise
        finally:
            os.close(writer)
        return ForkedProcess(reader)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive(self) -> bool:
        """Return whether it is running: its end of the socket is open."""
        poll = select.poll()
        poll.register(self._socket, 0)
        return not poll.poll(0)

    def close(self) -> None:
        """End it; the processes that it has forked end too."""
        self._socket.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        # it has no state, and an orderly exit takes a second
        self._process.kill()
        self._process.wait()


_servers: dict[tuple[tuple[str, str], ...], ForkServer] = {}
_choosing = threading.Lock()


def fork_server(environment: Mapping[str, str]) -> ForkServer:
    """Return the preloaded process for an environment, started if there is none.

    Args:
        environment: variables of the processes to be forked.
    """
    key = tuple(
        sorted(
            (name, value) for name, value in environment.items() if name.startswith(READ_AT_IMPORT)
        )
    )
    with _choosing:
        if not _servers:
            atexit.register(close_all)
        if key in _servers and not _servers[key].alive():
            _servers.pop(key).close()
        if key not in _servers:
            _servers[key] = ForkServer(environment)
        return _servers[key]


def close_all() -> None:
    """End all preloaded processes of this one."""
    while _servers:
        _servers.popitem()[1].close()


def main(connection: int) -> int:
    """Import the modules of every worker, then serve messages until the connection is closed.

    Args:
        connection: file descriptor of a socket, on which each packet is a `ForkMessage`.

    Returns:
        The exit code, in this process at its end, and in each forked process at its own.
    """
    for name in (TRAINING, "mlops_assets.training.train"):
        importlib.import_module(name)
    from mlops_assets.training.provenance import environment

    # takes half a second, is the same for all workers, and is cached
    environment()
    # the process that started this one handles Ctrl-C
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # the parents of workers are not waited for
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    with socket.socket(fileno=connection) as messages:
        while True:
            content, descriptors, _, _ = socket.recv_fds(messages, MAX_MESSAGE_BYTES, 2)
            if not content:
                return 0
            message = ForkMessage.decode(content)
            for name in message.modules:
                importlib.import_module(name)
            if message.fork is not None and os.fork() == 0:
                break
            for descriptor in descriptors:
                os.close(descriptor)
    return _fork_and_wait(message.fork, *descriptors)


def _fork_and_wait(fork: Fork, output: int, status: int) -> int:
    """Fork the worker, and report its process id and its exit code.

    Return its exit code in the worker itself.
    """
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid:
        os.close(output)
        os.write(status, f"{pid}\n".encode())
        _, ended = os.waitpid(pid, 0)
        os.write(status, f"{os.waitstatus_to_exitcode(ended)}\n".encode())
        os._exit(0)
    os.close(status)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.close(output)
    os.environ.clear()
    os.environ.update(fork.environment)
    os.chdir(fork.cwd)
    # otherwise garbage collection of all that is imported takes two seconds at exit
    atexit.register(gc.freeze)
    code: int = importlib.import_module(fork.module).main(fork.request)
    return code


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
