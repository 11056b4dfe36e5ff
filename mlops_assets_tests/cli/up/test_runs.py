"""Runs of Dagster in the words of `mlops up`."""

from __future__ import annotations

import dagster as dg
import pytest
from dagster._core.storage.tags import GRPC_INFO_TAG

from mlops_assets.cli.up.runs import ASSET_JOB, Run


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
    keys = None if assets is None else {dg.AssetKey(asset.split("/")) for asset in assets}
    run = dg.DagsterRun(job_name=job, tags=tags, asset_selection=keys)
    assert Run.of(run).subject == subject


def test_only_runs_of_a_code_server_are_ended() -> None:
    started = dg.DagsterRunStatus.STARTED
    ours = dg.DagsterRun(job_name="job", status=started, tags={GRPC_INFO_TAG: "{}"})
    of_a_command = dg.DagsterRun(job_name="job", status=started)
    assert (Run.of(ours).ours, Run.of(of_a_command).ours) == (True, False)
