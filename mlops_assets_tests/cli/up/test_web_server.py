"""What Dagster's web server answers, in the words of `mlops up`."""

from __future__ import annotations

import pytest

from mlops_assets.cli.up.web_server import ASSET_JOB, Run


@pytest.mark.parametrize(
    ("job", "tags", "assets", "subject"),
    [
        ("crops_landing", {}, None, "crops_landing"),
        ("crop_forest_lifecycle", {"dagster/partition": "v1"}, None, "crop_forest_lifecycle[v1]"),
        (ASSET_JOB, {"dagster/partition": "v1"}, ["a/record"], "a/record[v1]"),
        (
            ASSET_JOB,
            {
                "dagster/asset_partition_range_start": "v2",
                "dagster/asset_partition_range_end": "v2",
            },
            ["a/record", "b/record", "c/record", "d/record"],
            "a/record, b/record, c/record and 1 more[v2]",
        ),
        (ASSET_JOB, {}, None, ASSET_JOB),
    ],
)
def test_a_run_is_named_by_its_job_or_the_assets_selected_in_the_graph(
    job: str, tags: dict[str, str], assets: list[str] | None, subject: str
) -> None:
    answer = {
        "id": "1",
        "job": job,
        "status": "STARTED",
        "ours": True,
        "tags": [{"key": key, "value": value} for key, value in tags.items()],
        "assets": None if assets is None else [{"path": asset.split("/")} for asset in assets],
    }
    assert Run.model_validate(answer).subject == subject
