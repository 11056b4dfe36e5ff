"""The process below `mlops up`: a code server, Dagster's daemon on it, and the hub.

They end together, when one of them exits, or when the parent of this process is gone.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import subprocess  # nosec B404
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import IO

from dagster._utils.log import configure_loggers

from mlops_assets.cli.up.dagster_log import last_line
from mlops_assets.cli.up.services import HUB_LOG
from mlops_assets.logs import configure_logs, logs_json
from mlops_assets.orchestration.code_server import serve_code
from mlops_assets.settings import Settings, log_format
from mlops_assets.training.process.child_process import signal_without_parent

MAX_LOG_BYTES = 10 << 20
POLL_SECONDS = 0.5
# for one of them to end, before it is killed
STOP_SECONDS = 15.0
_HUB = "import sys; from mlops_assets.cli import main; sys.argv[0] = 'mlops'; main()"

log = logging.getLogger("dagster.mlops_up")


def main() -> None:
    """Run until an interrupt, or until one of the processes exits."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--module", required=True)
    parser.add_argument("--folder", required=True, type=Path)
    parser.add_argument("--port", required=True)
    arguments = parser.parse_args()
    # what a shell starts in the background ignores SIGINT, and then all of these processes do
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal_without_parent(signal.SIGINT)
    configure_loggers(log_level="INFO")
    configure_logs(log_format())
    home = Settings.from_environment().dagster_home
    try:
        with ExitStack() as stack:
            workspace = stack.enter_context(serve_code(arguments.module, home, arguments.folder))
            output = stack.enter_context(_appended(home / HUB_LOG))
            options = ["--port", arguments.port, "--module", arguments.module]
            daemon = ["-m", "dagster._daemon", "run", "--workspace", str(workspace)]
            if logs_json():
                daemon += ["--log-format", "json"]
            processes = {
                "dagster-daemon": _start(daemon),
                "hub": _start(
                    ["-c", _HUB, "hub", *options, "--workspace-file", str(workspace)], output
                ),
            }
            stack.callback(_stop, list(processes.values()))
            log.info("Launched Dagster's daemon and the hub")
            _watch(processes, home / HUB_LOG)
    except KeyboardInterrupt:
        log.info("Dagster services shut down.")
    finally:
        shutil.rmtree(arguments.folder, ignore_errors=True)


def _watch(processes: dict[str, subprocess.Popen[bytes]], hub_log: Path) -> None:
    """Wait until one of the processes exits, and log which, and why."""
    while True:
        time.sleep(POLL_SECONDS)
        for name, process in processes.items():
            if process.poll() is not None:
                reason = f": {last_line(hub_log)}" if name == "hub" else ""
                log.error(
                    "%s process shut down unexpectedly with return code %s%s",
                    name,
                    process.returncode,
                    reason,
                )
                sys.exit(1)


def _appended(path: Path) -> IO[bytes]:
    if path.exists() and path.stat().st_size > MAX_LOG_BYTES:
        path.replace(path.with_suffix(".log.1"))
    return path.open("ab")


def _start(arguments: list[str], output: IO[bytes] | None = None) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # nosec B603
        [sys.executable, *arguments],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT if output else None,
    )


def _stop(processes: list[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        if process.poll() is None:
            process.terminate()
    for process in processes:
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


if __name__ == "__main__":
    main()
