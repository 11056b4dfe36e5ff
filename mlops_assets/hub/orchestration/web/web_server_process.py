"""The process of one web server of Dagster below the hub, on a Unix socket.

It is what `dagster-webserver` serves, which cannot listen on one: on a port of this machine, every
user of it, and every page that their browser opens, could reach the server, which authenticates
nobody.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
from pathlib import Path

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster._utils.warnings import disable_dagster_warnings
from dagster_webserver.app import create_app_from_workspace_process_context
from dagster_webserver.version import __version__
from uvicorn.config import LOGGING_CONFIG

from mlops_assets.hub.orchestration.links import PREFIX
from mlops_assets.logs import configure_logs, logs_json
from mlops_assets.settings import log_format
from mlops_assets.training.process.child_process import signal_without_parent

# as `dagster-webserver` has them: of a statement in ms, of a connection in s, and connections
STATEMENT_TIMEOUT = 15_000
POOL_RECYCLE = 3_600
POOL_MAX_OVERFLOW = 20
# time for requests that are under way
SHUTDOWN_SECONDS = 3


def main() -> None:
    """Serve until SIGTERM, or until the hub is gone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--dagster-home", required=True)
    parser.add_argument("--workspace", required=True)
    parser.add_argument("--socket", required=True, type=Path)
    parser.add_argument("--read-only", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    configure_logs(log_format())
    # it is the hub's business what Ctrl-C ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    signal_without_parent(signal.SIGTERM)
    os.umask(0o077)
    arguments.socket.unlink(missing_ok=True)
    with (
        disable_dagster_warnings(),
        dg.DagsterInstance.from_config(arguments.dagster_home) as instance,
    ):
        instance.optimize_for_webserver(STATEMENT_TIMEOUT, POOL_RECYCLE, POOL_MAX_OVERFLOW)
        target = WorkspaceFileTarget([arguments.workspace])
        with WorkspaceProcessContext(
            instance, target, version=__version__, read_only=arguments.read_only
        ) as context:
            uvicorn.run(
                create_app_from_workspace_process_context(context, PREFIX),
                uds=str(arguments.socket),
                log_config=None if logs_json() else LOGGING_CONFIG,
                log_level="warning",
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            )


if __name__ == "__main__":
    main()
