"""Servers, each a process on a free loopback port, awaited until it listens, and ended again."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

HOST = "127.0.0.1"
_STARTS_WITHIN = 60.0  # seconds; two cores and a cold cache are slow
_ATTEMPTS = 3  # another process may take the free port first


@contextmanager
def serving(
    command: Callable[[int], Sequence[str]],
    log: Path,
    environment: Mapping[str, str] | None = None,
    within: float = _STARTS_WITHIN,
    port: int | None = None,
) -> Iterator[int]:
    """Run `command(port)` and yield the port it listens on; its output goes to `log`.

    Args:
        command: arguments of the process.
        log: file for what it prints.
        environment: of the process.
        within: seconds that it may take to start.
        port: that it listens on; a free one by default.

    Raises:
        RuntimeError: it ended, or did not listen in time; the message has the end of its output.
    """
    wanted = port
    for attempt in range(_ATTEMPTS):
        port = wanted or free_port()
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(port), stdout=output, stderr=subprocess.STDOUT, env=environment
            )
        try:
            if listens(process, port, within):
                yield port
                return
            if process.poll() is None or attempt == _ATTEMPTS - 1:
                raise RuntimeError(
                    f"{process.args!r} does not serve: {log.read_text(errors='replace')[-2000:]}"
                )
        finally:
            _end(process)


def free_port() -> int:
    """Return a loopback port that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def listens(process: subprocess.Popen[bytes], port: int, within: float) -> bool:
    """Wait until a process listens on a port, and return whether it does."""
    deadline = time.monotonic() + within
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((HOST, port), timeout=1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return process.poll() is None
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
