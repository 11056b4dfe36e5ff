"""The hub, Dagster's daemon and its code server, as processes below this one, and what they print.

None of them is started or watched here by itself; that is the business of `processes`.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
import signal
import subprocess  # nosec B404
import tempfile
import threading
from contextlib import suppress
from logging.handlers import RotatingFileHandler
from pathlib import Path
from types import TracebackType
from typing import Self

from mlops_assets.cli.terminal.output import errors
from mlops_assets.cli.up.dagster_log import Warnings
from mlops_assets.errors import MlopsError
from mlops_assets.settings import Settings, child_environment
from mlops_assets.text.secret_urls import redacted
from mlops_assets.training.process.child_process import start_child

LOG_FILE = "up.log"
HUB_LOG = "hub.log"
# of `orchestration.code_server`, which takes a second to import
WORKSPACE_FILE = "workspace.yaml"
MAX_LOG_BYTES = 10 << 20
# for all of them to end before they are killed
STOP_SECONDS = 55.0
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class ServicesFailure(MlopsError):
    """The hub, Dagster's daemon or its code server cannot be started, or has ended by itself."""


class Services:
    """The hub, the daemon and the code server of one project.

    All that they print is in log files of the Dagster home; warnings and errors are printed here
    too, without tracebacks.

    Args:
        module: the definitions of the project.
        port: of the hub, on this machine only.
        settings: name the Dagster home.
    """

    def __init__(self, module: str, port: int, settings: Settings) -> None:
        self.log_file = settings.dagster_home / LOG_FILE
        self._folder = Path(tempfile.mkdtemp(prefix="mlops-up-"))
        # names the code server, once there is one
        self.workspace = self._folder / WORKSPACE_FILE
        self._failure = ""
        reader, writer = os.pipe()
        with os.fdopen(writer, "wb") as output:
            self._process = start_child(
                [
                    *("-m", "mlops_assets.cli.up.processes", "--module", module),
                    *("--folder", str(self._folder), "--port", str(port)),
                ],
                child_environment({})
                # then it leaves the errors of code to the code server's own log
                | {"DAGSTER_HOME": str(settings.dagster_home), "DAGSTER_IS_DEV_CLI": "1"},
                output,
            )
        self._relay = threading.Thread(target=self._pass_on, args=(reader,), daemon=True)
        self._relay.start()

    def check(self) -> None:
        """Make sure that they are running.

        Raises:
            ServicesFailure: they have ended.
        """
        if self._process.poll() is None:
            return
        self._relay.join(1)
        reason = self._failure or f"exit code {self._process.returncode}"
        raise ServicesFailure(
            f"the hub or Dagster's daemon has ended: {reason}; all that they printed is in"
            f" {self.log_file} and {self.log_file.with_name(HUB_LOG)}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        """Stop all processes; an interrupt, here or before, kills them at once."""
        try:
            if kind is not KeyboardInterrupt:
                self._process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(STOP_SECONDS)
        finally:
            # all are in the session of this one, also those whose parent was killed
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            shutil.rmtree(self._folder, ignore_errors=True)

    def _pass_on(self, reader: int) -> None:
        """Write all output to the log file, and print what is a warning or worse."""
        log = RotatingFileHandler(self.log_file, maxBytes=MAX_LOG_BYTES, backupCount=1)
        warnings = Warnings()
        with os.fdopen(reader, encoding="utf-8", errors="backslashreplace") as lines:
            for line in lines:
                text = _COLOUR.sub("", line.rstrip("\n"))
                log.emit(logging.makeLogRecord({"msg": text}))
                picked = warnings.pick(text)
                if picked is not None:
                    self._failure = picked
                    errors.print(redacted(picked))
        log.close()
