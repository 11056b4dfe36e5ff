"""The lines that Dagster prints, and which of them its user is to see at once."""

from __future__ import annotations

import json
import re
from pathlib import Path

from mlops_assets.text.printable import printable

# date, time, zone - logger - LEVEL - message
_RECORD = re.compile(r"\S+ \S+ \S+ - \S+ - (?P<level>[A-Z]+) - (?P<message>.*)")
# job - run - process or step - message
_OF_RUN = re.compile(r"\S+ - [0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12} - (?P<rest>.*)")
# process - step - TYPE - message
_EVENT = re.compile(r"\d+ - (?:\S+ - )?(?P<type>[A-Z_]+) - ")
MAX_LINE = 4_096  # bytes
_SEEN = ("WARNING", "ERROR", "CRITICAL")
# beginnings of lines of a traceback, and of errors that only wrap another
_NOISE = (
    " ",
    "Traceback",
    "Stack Trace:",
    "The above exception",
    "During handling",
    "dagster._core.errors.DagsterExecutionStepExecutionError:",
    "dagster._core.errors.DagsterExecutionInterruptedError",
)


class Warnings:
    """Picks warnings and errors out of a log, line by line: of an error the reason, no traceback.

    The end of a run is left out, and what follows from it, as the web server reports it; of a step
    that has failed only the reason is picked.
    """

    def __init__(self) -> None:
        self._level: str | None = None
        self._begun = False

    def pick(self, line: str) -> str | None:
        """Return a line as it is to be printed; None if it is not."""
        if line.startswith("{"):
            return self._of_json(line)
        record = _RECORD.match(line)
        if record is None:
            text = line
        else:
            text = record["message"]
            self._level = record["level"].lower() if record["level"] in _SEEN else None
            self._begun = False
            of_run = _OF_RUN.match(text)
            if of_run:
                text = self._of_run(of_run["rest"])
        if self._level is None or not text or text.startswith(_NOISE):
            return None
        begun, self._begun = self._begun, True
        return text if begun else f"{self._level}: {text}"

    def _of_json(self, line: str) -> str | None:
        """Return what is to be printed of a line by `MLOPS_LOG_FORMAT=json`, ours or Dagster's."""
        try:
            found = json.loads(line)
            level, text = str(found["level"]).upper(), str(found.get("message", found.get("event")))
        except (ValueError, KeyError, TypeError):
            return None
        of_run = _OF_RUN.match(text)
        if level not in _SEEN or (of_run and _EVENT.match(of_run["rest"])):
            return None
        return f"{level.lower()}: {printable((text.splitlines() or [text])[0])}"

    def _of_run(self, text: str) -> str:
        event = _EVENT.match(text)
        if event is None:
            return "" if " - Dependencies for step " in text else text
        if event["type"] != "STEP_FAILURE":
            self._level = None
        return ""


def last_line(log: Path) -> str:
    """Return the last line of a log that is not empty; empty if there is none."""
    if not log.exists():
        return ""
    with log.open("rb") as content:
        content.seek(max(0, log.stat().st_size - MAX_LINE))
        lines = content.read().decode(errors="backslashreplace").splitlines()
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
