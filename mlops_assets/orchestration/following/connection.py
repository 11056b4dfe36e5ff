"""Reads of a Dagster instance that outlive a restart of its database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

from mlops_assets.components.project.storage_failures import database_failures
from mlops_assets.orchestration.following.interrupts import Interrupts, still_running

P = ParamSpec("P")
T = TypeVar("T")
WAIT_SECONDS = 2.0
# between two lines about a database that stays unreachable
LINE_SECONDS = 30.0
# the warning of dagster-postgres at each of its own attempts
_RETRYING = "Retrying failed database connection"


@dataclass(frozen=True)
class PatientReader:
    """Reads an instance again and again until its database answers.

    Attributes:
        interrupts: of the command; one ends the waiting.
        report: called with each line for the user.
    """

    interrupts: Interrupts
    report: Callable[[str], None]

    def read(self, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a function reads, once the database answers.

        Args:
            read: the function.
            args: of it.
            kwargs: of it.

        Raises:
            StillRunning: the command was interrupted while it did not.
        """
        began: float | None = None
        due = 0.0
        while True:
            try:
                found = read(*args, **kwargs)
            except lost_connections() as error:
                now = time.monotonic()
                began = now if began is None else began
                if self.interrupts.requested:
                    reason = "Dagster's database is unreachable, so that it cannot be cancelled"
                    raise still_running(self.interrupts.run_id, reason) from error
                if now >= due:
                    due = now + LINE_SECONDS
                    self.report(
                        f"Dagster's database has been unreachable for {now - began:.0f} s; trying"
                        " again, the run itself is not affected"
                    )
                self.interrupts.wait(WAIT_SECONDS)
                continue
            if began is not None:
                self.report("Dagster's database is reachable again")
            return found


def lost_connections() -> tuple[type[Exception], ...]:
    """Return the errors of a database that does not answer."""
    _silence_attempts()
    return database_failures()


def _silence_attempts() -> None:
    """Keep the attempts of dagster-postgres out of the terminal; one line reports them all."""
    root = logging.getLogger()
    if _is_no_attempt not in root.filters:
        root.addFilter(_is_no_attempt)


def _is_no_attempt(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith(_RETRYING)
