"""Logs of Dagster's runs and code servers in the format of ours."""

from __future__ import annotations

import logging

from dagster import _loggers as dagster_loggers

from mlops_assets.errors import SettingsError
from mlops_assets.logs import configure_logs, json_handler, logs_json
from mlops_assets.settings import log_format


def log_as_configured() -> None:
    """Let this process log JSON, its Dagster runs too, if `MLOPS_LOG_FORMAT` is `json`.

    With a setting that cannot be used it logs text; a run that needs the settings reports why.
    """
    try:
        configure_logs(log_format())
    except SettingsError:
        return
    if logs_json():
        # the console logger of every run without loggers in its config; no setting replaces it
        dagster_loggers.create_console_logger = _json_logger  # type: ignore[attr-defined]


def _json_logger(name: str, level: str | int) -> logging.Logger:
    """Return a logger as Dagster makes it, which is not in the tree of loggers."""
    logger = logging.getLoggerClass()(name, level=level)
    logger.addHandler(json_handler())
    return logger
