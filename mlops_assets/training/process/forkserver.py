"""A preloaded process that trainers' processes are forked from, to start in milliseconds.

What a forked process does is the business of `worker`; who starts and watches it is `supervisor`.
The standard library's `multiprocessing.forkserver` takes no environment, and OpenMP and BLAS read
theirs when they are loaded.
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
from typing import IO, Any

# what libraries read from the environment while they are loaded: other values need another
# preloaded process
READ_AT_IMPORT = (
    "BLIS_",
    "CUDA_",
    "GOMP_",
    "KMP_",
    "LD_",
    "MKL_",
    "OMP_",
    "OPENBLAS_",
    "PYTHON",
    "TF_",
    "TORCH_",
)
MAX_MESSAGE_BYTES = 1 << 20


class ForkedProcess:
    """A process that was forked elsewhere, with the waiting and stopping of `subprocess.Popen`.

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
        """Return how it ended, or None while it runs."""
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
            # whoever waits for it is only gone unexpectedly if everything was killed
            self.returncode = int(line) if line else -signal.SIGKILL
        return self.returncode


class ForkServer:
    """One preloaded process; it ends with the process that started it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Start it; it imports what every job needs while the caller continues."""
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
        """Let it import modules, which must start no threads, before it forks the next job.

        Return at once.
        """
        with self._lock, suppress(OSError):  # that it is gone is reported by `start`
            new = [name for name in modules if name not in self._loaded]
            if new:
                self._socket.send(json.dumps({"modules": new}).encode())
                self._loaded.update(new)

    def start(self, job: Path, output: IO[bytes], environment: Mapping[str, str]) -> ForkedProcess:
        """Fork a process that does a job of `worker`, in a session of its own.

        Args:
            job: its file.
            output: where it prints.
            environment: its variables; those that are `READ_AT_IMPORT` as this process has them.

        Raises:
            OSError: the preloaded process is gone.
        """
        message = json.dumps(
            {"job": str(job), "cwd": str(Path.cwd()), "environment": dict(environment)}
        ).encode()
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
        """Return whether it can fork.

        Its end of the socket is closed before it can be waited for.
        """
        poll = select.poll()
        poll.register(self._socket, 0)
        return not poll.poll(0)

    def close(self) -> None:
        """End it; the processes that it has forked end too."""
        self._socket.close()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.kill()  # it keeps nothing, and an orderly end takes a second
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
    """Import what every job needs, then serve requests until the connection is closed.

    A request is to import modules, or to fork a job.

    Returns only in the forked processes, when their job is done, and at the end.
    """
    for name in ("mlops_assets.training.process.worker", "mlops_assets.training.train"):
        importlib.import_module(name)
    from mlops_assets.training.provenance import environment

    environment()  # half a second to read, the same for all, and remembered
    # Ctrl-C is the business of the process that started this one
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those who wait for the jobs
    with socket.socket(fileno=connection) as jobs:
        while True:
            message, descriptors, _, _ = socket.recv_fds(jobs, MAX_MESSAGE_BYTES, 2)
            if not message:
                return 0
            wanted = json.loads(message)
            for name in wanted.get("modules", ()):
                importlib.import_module(name)
            if "job" in wanted and os.fork() == 0:
                break
            for descriptor in descriptors:
                os.close(descriptor)
    return _fork_and_wait(wanted, *descriptors)


def _fork_and_wait(message: dict[str, Any], output: int, status: int) -> int:
    """Fork the job and report its process id and how it ended.

    Return its exit code in the job itself.
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
    os.environ.update(message["environment"])
    os.chdir(message["cwd"])
    # else a search through all that is imported takes two seconds at the end
    atexit.register(gc.freeze)
    from mlops_assets.training.process.worker import main as work

    return work(Path(message["job"]))


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
