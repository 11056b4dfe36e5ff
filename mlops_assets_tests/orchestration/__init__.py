"""Tests of launching and following."""

from __future__ import annotations

import sys

import dagster as dg
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteJobOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.test_utils import create_run_for_test
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin


def queued_run(instance: dg.DagsterInstance, **tags: str) -> dg.DagsterRun:
    """Return a run that is in the queue of an instance."""
    target = LoadableTargetOrigin(executable_path=sys.executable, module_name="project")
    origin = RemoteRepositoryOrigin(InProcessCodeLocationOrigin(target), "__repository__")
    run: dg.DagsterRun = create_run_for_test(
        instance,
        job_name="training",
        status=dg.DagsterRunStatus.QUEUED,
        tags=tags,
        remote_job_origin=RemoteJobOrigin(origin, "training"),
    )
    return run
