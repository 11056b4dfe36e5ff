"""Dagster's web servers as children of the hub: one that only reads, and one for operators.

A server is started when it is first needed, and again with growing pauses if it exits.
"""

from __future__ import annotations

import logging
import os
import subprocess  # nosec B404
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mlops_assets.settings import child_environment
from mlops_assets.training.process.child_process import start_child

LOG_FILE = "web-server.log"
MAX_LOG_BYTES = 10 << 20
# between two starts of a server that exits
FIRST_PAUSE = 1.0
MAX_PAUSE = 60.0
# one that has run so long has started well
STABLE_SECONDS = 60.0
# for requests that are under way, before it is killed
STOP_SECONDS = 8.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class WebServerSettings:
    """What the web servers of a hub serve.

    Attributes:
        dagster_home: of the Dagster instance.
        workspace: file of Dagster that names the code servers.
        folder: of the hub only, for their sockets.
    """

    dagster_home: Path
    workspace: Path
    folder: Path


class WebServer:
    """One web server of Dagster."""

    def __init__(self, settings: WebServerSettings, read_only: bool) -> None:
        """Describe the server; it is not started.

        Args:
            settings: what it serves.
            read_only: whether it refuses all mutations.
        """
        self._settings = settings
        self._read_only = read_only
        self._name = "reading" if read_only else "operators"
        self.socket = settings.folder / f"{self._name}.sock"
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._watching: threading.Thread | None = None

    def start(self) -> None:
        """Start the server, unless it was started before."""
        with self._lock:
            if self._watching is None and not self._ended.is_set():
                self._watching = threading.Thread(
                    target=self._watch, name=f"web server for {self._name}", daemon=True
                )
                self._watching.start()

    def request_end(self) -> None:
        """Let the server end, without waiting for it."""
        with self._lock:
            self._ended.set()

    def close(self) -> None:
        """End the server."""
        self.request_end()
        if self._watching is not None:
            self._watching.join()

    def _watch(self) -> None:
        pause = FIRST_PAUSE
        while not self._ended.is_set():
            begun = time.monotonic()
            process = self._start()
            while process.poll() is None and not self._ended.wait(0.2):
                pass
            if self._ended.is_set():
                _stop(process)
                return
            _close(process)
            if time.monotonic() - begun > STABLE_SECONDS:
                pause = FIRST_PAUSE
            log.warning(
                "Dagster's web server has exited with code %s, and is started again in %.0f s;"
                " what it printed is in %s",
                process.returncode,
                pause,
                self._log_file,
            )
            self._ended.wait(pause)
            pause = min(2 * pause, MAX_PAUSE)

    @property
    def _log_file(self) -> Path:
        return self._settings.dagster_home / LOG_FILE

    def _start(self) -> subprocess.Popen[bytes]:
        with suppress(FileNotFoundError):
            if self._log_file.stat().st_size > MAX_LOG_BYTES:
                self._log_file.replace(self._log_file.with_suffix(".log.1"))
        home = str(self._settings.dagster_home)
        with self._log_file.open("ab") as output:
            return start_child(
                [
                    *("-m", "mlops_assets.hub.orchestration.web.web_server_process"),
                    *("--dagster-home", home, "--workspace", str(self._settings.workspace)),
                    *("--socket", str(self.socket)),
                    *(["--read-only"] if self._read_only else []),
                ],
                child_environment({}) | {"DAGSTER_HOME": home, "PYTHONPATH": _import_path()},
                output,
            )


def _import_path() -> str:
    """Return the path of imports of a child, which has the folder of the project as this has."""
    return os.pathsep.join(filter(None, [str(Path.cwd()), child_environment({}).get("PYTHONPATH")]))


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
    _close(process)


def _close(process: subprocess.Popen[bytes]) -> None:
    if process.stdin is not None:
        process.stdin.close()
    process.wait()
