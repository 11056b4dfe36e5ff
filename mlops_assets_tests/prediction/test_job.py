"""The job of a map: its JSON, and the key of its unfinished work."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime

import pytest

from mlops_assets.errors import SpecificationError
from mlops_assets.prediction.job import MapJob
from mlops_assets.prediction.mapped import Options
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.reading import Grid, Mask, Reading

EARLY = FoundScene(
    "a", "s3://scenes/a.json", datetime(2026, 5, 1, 10, tzinfo=UTC), (9, 47, 10, 48), 7, {"id": "a"}
)
LATE = FoundScene("b", "s3://scenes/b.json", datetime(2026, 5, 1, 11, tzinfo=UTC))
UNDATED = FoundScene("c", "/scenes/c.tif")
JOB = MapJob(
    "valley/2026-05-01",
    "crops",
    "v1-00000000",
    (EARLY, LATE, UNDATED),
    Options(("class", "confidence")),
    Reading(grid=Grid("EPSG:32632", 10.0), mask=Mask("scl", (3, 8)), area={"type": "Polygon"}),
    "valley",
    date(2026, 5, 1),
)


def test_a_job_survives_json() -> None:
    assert MapJob.from_json(json.loads(json.dumps(JOB.as_json()))) == JOB


def test_the_order_of_scenes_does_not_matter() -> None:
    other = replace(JOB, scenes=(UNDATED, LATE, EARLY))
    assert other == JOB and other.key("0") == JOB.key("0")


@pytest.mark.parametrize(
    "change",
    [{"scenes": (EARLY,)}, {"options": Options()}, {"reading": Reading()}, {"name": "valley"}],
    ids=str,
)
def test_another_job_has_another_key(change: dict[str, object]) -> None:
    assert replace(JOB, **change).key("0") != JOB.key("0")  # type: ignore[arg-type]
    assert JOB.key("1") != JOB.key("0")


def test_what_is_no_job_is_refused() -> None:
    document = JOB.as_json()
    with pytest.raises(SpecificationError, match=r"not a MapJob: .*; plan the map again"):
        MapJob.from_json({**document, "scenes": [{"name": 1}]})
    with pytest.raises(SpecificationError, match="has no scene"):
        replace(JOB, scenes=())
