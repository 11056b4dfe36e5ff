"""When a landing is late, as declared; Dagster's daemon judges it and its UI shows it."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Annotated
from zoneinfo import ZoneInfo

import dagster as dg
from dagster._utils.schedules import get_smallest_cron_interval, is_valid_cron_string
from pydantic import AfterValidator, Field, field_validator, model_validator

from mlops_assets.strict import Strict

_DURATION = re.compile(r"([1-9][0-9]*)(m|h|d|w)")
MAX_LENGTH = timedelta(days=3650)
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _duration(text: str) -> str:
    if not _DURATION.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a valid duration; write a whole number and m, h, d or w, such as 12h"
        )
    # longer ones than Python's or Dagster's calendar are among them
    if int(text[:-1]) > MAX_LENGTH // timedelta(**{_UNITS[text[-1]]: 1}):
        raise ValueError(f"{text} is longer than {MAX_LENGTH.days} days; name a shorter duration")
    return text


def length_of(duration: str) -> timedelta:
    """Return the length of a checked duration such as `12h`."""
    return timedelta(**{_UNITS[duration[-1]]: int(duration[:-1])})


Duration = Annotated[str, AfterValidator(_duration)]


class Freshness(Strict):
    """When new data is late: after a time without a commit, or at a deadline."""

    fail: Duration | None = Field(
        default=None,
        description="The landing fails if nothing was committed for so long: 90m, 12h, 7d, 2w.",
    )
    warn: Duration | None = Field(
        default=None, description="It warns if nothing was committed for so long; less than 'fail'."
    )
    deadline: str | None = Field(
        default=None,
        description="Instead: when a commit is due, as a cron schedule, e.g. '0 6 * * 1'.",
    )
    within: Duration = Field(
        default="1h", description="How long before the deadline a commit counts for it."
    )
    timezone: str = Field(default="UTC", description="Time zone of the deadline, an IANA name.")

    @field_validator("deadline")
    @classmethod
    def _cron(cls, deadline: str | None) -> str | None:
        if deadline is not None and not is_valid_cron_string(deadline):
            raise ValueError(
                f"{deadline!r} is not a valid cron schedule; write minute, hour, day, month and"
                " weekday, such as '0 6 * * 1'"
            )
        return deadline

    @field_validator("timezone")
    @classmethod
    def _known(cls, timezone: str) -> str:
        try:
            ZoneInfo(timezone)
        except (KeyError, OSError, ValueError) as error:
            raise ValueError(
                f"{timezone!r} is not a known time zone; write it as in Europe/Berlin"
            ) from error
        return timezone

    @model_validator(mode="after")
    def _one_rule(self) -> Freshness:
        given = self.model_fields_set
        if (self.fail is None) == (self.deadline is None):
            raise ValueError(
                "name 'fail: DURATION' for a time without a commit, or 'deadline: CRON', not both"
            )
        if self.deadline is None and given & {"within", "timezone"}:
            raise ValueError("'within' and 'timezone' go with 'deadline'")
        if self.deadline is not None and self.warn is not None:
            raise ValueError("'warn' goes with 'fail'; a deadline is met or missed")
        if self.fail and self.warn and length_of(self.warn) >= length_of(self.fail):
            raise ValueError(f"warn: {self.warn} must be less than 'fail', {self.fail}")
        if self.deadline is not None:
            interval = get_smallest_cron_interval(self.deadline)
            if length_of(self.within) > interval:
                raise ValueError(
                    f"within: {self.within} is longer than from one deadline to the next"
                )
        return self

    def policy(self) -> dg.FreshnessPolicy:
        """Return Dagster's policy."""
        if self.deadline is not None:
            return dg.FreshnessPolicy.cron(self.deadline, length_of(self.within), self.timezone)
        return dg.FreshnessPolicy.time_window(
            fail_window=length_of(self.fail or ""),
            warn_window=length_of(self.warn) if self.warn else None,
        )
