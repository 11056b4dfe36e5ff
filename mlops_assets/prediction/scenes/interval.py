"""Times and intervals of acquisition, as searches of STAC APIs have them; UTC."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

_OPEN = ("", "..")
# RFC 3339, as STAC APIs take it: other forms of ISO 8601 are not sent to them
_TIME = re.compile(r"\d{4}-\d{2}-\d{2}($|[Tt ])")
_SHORTEST = timedelta(microseconds=1)


@dataclass(frozen=True)
class AcquisitionInterval:
    """An interval of time.

    Attributes:
        start: the first moment, UTC; None if there is none.
        end: the moment after the last one, UTC; None if there is none.
    """

    start: datetime | None
    end: datetime | None

    def __contains__(self, moment: datetime) -> bool:
        """Return whether a moment is in the interval."""
        begun = self.start is None or self.start <= moment
        return begun and (self.end is None or moment < self.end)

    @property
    def first_day(self) -> date | None:
        """The day (UTC) of the first moment; None if there is none."""
        return None if self.start is None else self.start.date()

    @property
    def last_day(self) -> date | None:
        """The day (UTC) of the last moment; None if there is none."""
        return None if self.end is None else (self.end - _SHORTEST).date()


def parse_interval(text: str) -> AcquisitionInterval:
    """Return the interval of a time, a day, a month or a year, or from one of these to another.

    Args:
        text: such as 2024, 2024-06, 2024-06-01, 2024-06-01/2024-06-30 or 2024-06-01/.., in UTC
            unless a time has an offset.

    Raises:
        ValueError: it is none of these, ends before it starts, or is open on both sides.
    """
    first, slash, last = text.partition("/")
    try:
        if slash:
            start = None if first in _OPEN else _span(first)[0]
            end = None if last in _OPEN else _span(last)[1]
        else:
            start, end = _span(text)
    except (ValueError, OverflowError) as error:
        raise ValueError(
            f"{text!r} is not a time or interval ({error}); write 2024-06-01, or"
            " 2024-06-01/2024-06-30, in UTC"
        ) from error
    if start is None and end is None:
        raise ValueError(f"{text!r} is open on both sides; name a start or an end")
    if start is not None and end is not None and start >= end:
        raise ValueError(f"{text!r} ends before it starts; swap its times")
    return AcquisitionInterval(start, end)


def parse_time(text: str) -> datetime:
    """Return a time, UTC unless it has another zone.

    Raises:
        ValueError: it is not a time.
    """
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def _span(text: str) -> tuple[datetime, datetime]:
    """Return the first moment of a day, month, year or time, and the one after the last.

    Raises:
        ValueError: it is none of these.
    """
    if len(text) == len("2024"):
        start = parse_time(f"{text}-01-01")
        return start, start.replace(year=start.year + 1)
    if len(text) == len("2024-06"):
        start = parse_time(f"{text}-01")
        return start, (start + timedelta(days=32)).replace(day=1)
    if not _TIME.match(text):
        raise ValueError("its date is not YYYY-MM-DD")
    start = parse_time(text)
    is_day = len(text) == len("2024-06-01")
    return start, start + (timedelta(days=1) if is_day else _SHORTEST)
