"""Outcomes of runs in this process."""

from __future__ import annotations

import dagster as dg
import pytest

from mlops_assets.orchestration.here import run_here
from mlops_assets.orchestration.results import CheckFailure, StepFailure
from mlops_assets.orchestration.submission import Submission


@dg.resource
def bucket(context: dg.InitResourceContext) -> None:
    raise ValueError("no bucket is called 'fields'\nsecond line")


@dg.asset(required_resource_keys={"bucket"})
def harvest() -> None: ...


def test_a_run_whose_resource_fails_is_no_failed_check_and_has_the_reason() -> None:
    definitions = dg.Definitions(
        assets=[harvest],
        resources={"bucket": bucket},
        jobs=[dg.define_asset_job("training", selection=[harvest])],
        executor=dg.in_process_executor,
    )
    with dg.DagsterInstance.ephemeral() as instance:
        job = definitions.resolve_job_def("training")
        with pytest.raises(StepFailure, match=r"failed: no bucket is called 'fields'$") as failure:
            run_here(instance, job, Submission("training"))
    assert not isinstance(failure.value, CheckFailure)
