"""What a request for maps may ask for; nothing is listed before it is valid."""

from __future__ import annotations

from typing import Any

import pytest

from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.request import MapRequest, parse_request


def request(**changes: Any) -> MapRequest:
    return parse_request({"model": "land@production", "sources": ["scenes"], **changes})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [10, 60, 11, 50]}, "is not .west, south, east, north. in degrees"),
        ({"bbox": [500_000, 5_000_000, 600_000, 5_100_000]}, "in degrees"),
        ({"bbox": [float("nan")] * 4}, "in degrees"),
        ({"datetime": "last week"}, "is not a time or interval"),
        # a basic date of ISO 8601, of which STAC APIs know nothing
        ({"datetime": "20240601"}, "write 2024-06-01"),
        ({"datetime": "2024-06-02/2024-06-01"}, "ends before it starts"),
        ({"date": "today"}, "date"),
        ({"outputs": ["certainty"]}, "outputs"),
        ({"sources": []}, "sources"),
    ],
    ids=str,
)
def test_a_wrong_request_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        request(**changes)


def test_a_day_has_one_form_and_a_box_may_cross_the_antimeridian() -> None:
    assert request(date="20240601").date == "2024-06-01"
    assert request(bbox=[179, -20, -179, -10]).bbox == [179, -20, -179, -10]
