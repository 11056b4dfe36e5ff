"""Sizes, numbers and moments as pages show them."""

from __future__ import annotations

import math
from datetime import datetime, timedelta, timezone

import pytest

from mlops_assets.hub.pages.parts.texts import duration, number, share, size, when


@pytest.mark.parametrize(
    ("count", "shown"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (6_775_307, "6.78 MB"), (999_999, "1.00 MB")],
)
def test_sizes_have_three_digits_and_a_unit(count: int | None, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [(None, "–"), (math.nan, "–"), (math.inf, "∞"), (10_249, "10,249"), (-0.88023, "−0.8802")],
)
def test_numbers_that_are_unknown_are_a_dash(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_moments_are_in_utc_and_shares_and_durations_have_units() -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    assert when(datetime(2026, 11, 30, 5, 13, tzinfo=india)) == "2026-11-29 23:43 UTC"
    assert share(0.4968) == "49.7 %" and share(math.nan) == "–"
    assert [duration(each) for each in (25.62, 185, 7440)] == ["25.6 s", "3 min 05 s", "2 h 04 min"]
