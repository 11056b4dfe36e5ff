"""A log record as one JSON object on one line."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from datetime import UTC, datetime

from mlops_assets.logs.context import FIELDS, current_fields
from mlops_assets.logs.secrets import without_secrets

MAX_TEXT = 32_768  # characters of a field: collectors cut longer lines, and then they are no JSON
_CUT = "… cut"
_ACCESS = "uvicorn.access"
# Dagster's attribute of records → our fields; see `dagster._core.log_manager`
_DAGSTER = "dagster_meta"
_OF_DAGSTER = (("run_id", "orchestration_run"), ("step_key", "step"))


class JsonLines(logging.Formatter):
    """Formats records as JSON: time, level, logger, message, what they belong to, the exception.

    The time is UTC by RFC 3339. All but ASCII is escaped, so that no control character, line
    separator or lone surrogate of a message is in the line.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record, without its end."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        document: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
        }
        document.update(_request_line(record) or {"message": _message(record)})
        fields = current_fields() | _of_dagster(record)
        # a record may name its own, by `extra`
        fields |= {name: value for name in FIELDS if (value := record.__dict__.get(name))}
        document.update({name: str(value) for name, value in fields.items()})
        if record.exc_info and record.exc_info[0] is not None:
            document["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            document["exception"] = record.exc_text
        if record.stack_info:
            document["stack"] = record.stack_info
        return json.dumps(
            {
                name: _clean(value) if isinstance(value, str) else value
                for name, value in document.items()
            }
        )


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError, KeyError):
        # arguments that do not fit; the record is worth more than none
        return f"{record.msg} {record.args!r}"


def _request_line(record: logging.LogRecord) -> dict[str, object] | None:
    """Return the fields of a line of uvicorn's access log; None if it is another one.

    The query is left out: that of a sign-in has a code which opens a session.
    """
    arguments = record.args
    if record.name != _ACCESS or not isinstance(arguments, tuple) or len(arguments) != 5:
        return None
    client, method, target, _version, status = arguments
    path = str(target).partition("?")[0]
    return {
        "message": f"{method} {path} {status}",
        "client": str(client),
        "method": str(method),
        "path": path,
        "status": status,
    }


def _of_dagster(record: logging.LogRecord) -> dict[str, str]:
    metadata = record.__dict__.get(_DAGSTER)
    if not isinstance(metadata, Mapping):
        return {}
    return {ours: str(metadata[name]) for name, ours in _OF_DAGSTER if metadata.get(name)}


def _clean(text: str) -> str:
    found = without_secrets(text)
    return found if len(found) <= MAX_TEXT else found[: MAX_TEXT - len(_CUT)] + _CUT
