"""The format of what this process logs."""

from __future__ import annotations

import logging
import sys
import threading
from types import TracebackType
from typing import TextIO

from mlops_assets.logs.json_lines import JsonLines
from mlops_assets.settings import LogFormat

log = logging.getLogger(__name__)
# configured by their libraries before us; their records are to reach the root logger instead
_WITH_HANDLERS = ("dagster", "dagit", "dagster-webserver", "uvicorn", "uvicorn.access")


def configure_logs(log_format: LogFormat, stream: TextIO | None = None) -> None:
    """Log JSON from now on, if that is the format; text is logged as each program does by itself.

    Warnings, and exceptions that end the process or a thread, are logged too.

    Args:
        log_format: by `MLOPS_LOG_FORMAT`.
        stream: that lines are written to; stderr if None.
    """
    if log_format != "json":
        return
    root = logging.getLogger()
    handler = json_handler(stream)
    root.handlers = [handler]
    root.setLevel(min(root.level or logging.INFO, logging.INFO))
    for name in _WITH_HANDLERS:
        logger = logging.getLogger(name)
        logger.handlers = []
        logger.propagate = True
    if logging.lastResort is not None:
        logging.lastResort.setFormatter(JsonLines())
    logging.captureWarnings(True)
    sys.excepthook = _log_uncaught
    threading.excepthook = _log_uncaught_in_thread


def logs_json() -> bool:
    """Return whether this process logs JSON."""
    return any(isinstance(each.formatter, JsonLines) for each in logging.getLogger().handlers)


def json_handler(stream: TextIO | None = None) -> logging.Handler:
    """Return a handler that writes JSON.

    Args:
        stream: that it writes to; stderr if None.
    """
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    return handler


def _log_uncaught(
    kind: type[BaseException], error: BaseException, at: TracebackType | None
) -> None:
    if issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, at)
        return
    log.critical("the process ends by an exception", exc_info=(kind, error, at))


def _log_uncaught_in_thread(found: threading.ExceptHookArgs) -> None:
    name = found.thread.name if found.thread is not None else "unknown"
    if found.exc_value is not None and found.exc_type is not SystemExit:
        log.error(
            "the thread %s ends by an exception",
            name,
            exc_info=(found.exc_type, found.exc_value, found.exc_traceback),
        )
