"""Runs that are interrupted within Dagster: continuing them, and cancelling them."""

from __future__ import annotations

import signal
import time

import dagster as dg
import psutil
import pytest

from mlops_assets.components.naming import RESUME, add_data_versions
from mlops_assets.store import Store
from mlops_assets_tests.components.project import interrupted_job
from mlops_assets_tests.interpreter import Process

TAGS = {"dagster/partition": "v1"}
EXECUTE = """
import dagster as dg, sys
from mlops_assets_tests.components.project import hanging_job
with dg.DagsterInstance.from_config(sys.argv[1]) as instance:
    job = dg.reconstructable(hanging_job)
    dg.execute_job(job, instance=instance, tags={"dagster/partition": "v1"}).__enter__()
"""


@pytest.fixture
def store(assessed: Store) -> Store:
    """`fields`, v1, in a workspace of the test's own."""
    return assessed


@pytest.fixture
def _committed(store: Store, instance: dg.DagsterInstance) -> None:
    add_data_versions(instance, store.registry, "fields")


def interrupted(instance: dg.DagsterInstance) -> str:
    with dg.execute_job(
        dg.reconstructable(interrupted_job), instance=instance, tags=TAGS
    ) as failed:
        assert not failed.success
        return failed.run_id


@pytest.mark.slow
@pytest.mark.usefixtures("_committed")
def test_a_reexecution_from_failure_goes_on_from_the_checkpoint(
    store: Store, instance: dg.DagsterInstance
) -> None:
    options = dg.ReexecutionOptions.from_failure(interrupted(instance), instance)
    job = dg.reconstructable(interrupted_job)
    with dg.execute_job(job, instance=instance, tags=TAGS, reexecution_options=options) as again:
        assert again.success
    (run,) = store.registry.runs()
    assert (run.attempts, run.status, run.orchestration_run) == (2, "succeeded", again.run_id)
    log = [event.user_message for event in instance.all_logs(again.run_id)]
    assert any(f"continuing run {run.run_id}" in message for message in log)
    (row,) = store.registry.model_versions()
    assert (row.run_id, row.stage) == (run.run_id, "recorded")


@pytest.mark.slow
@pytest.mark.usefixtures("_committed")
def test_a_tagged_run_goes_on_with_another_one_and_a_plain_one_does_not(
    store: Store, instance: dg.DagsterInstance
) -> None:
    interrupted(instance)
    (first,) = store.registry.runs()
    job = interrupted_job()
    assert not job.execute_in_process(
        instance=instance, partition_key="v1", raise_on_error=False
    ).success
    assert len(store.registry.runs()) == 2  # started again, and killed again
    tagged = job.execute_in_process(
        instance=instance, partition_key="v1", tags={RESUME: first.run_id}
    )
    assert tagged.success
    assert [run.attempts for run in store.registry.runs(status="succeeded")] == [2]
    (row,) = store.registry.model_versions()
    assert (row.run_id, row.stage) == (first.run_id, "recorded")


@pytest.mark.slow
@pytest.mark.usefixtures("_committed")
def test_cancelling_a_run_stops_its_trainer_promptly_and_records_it(
    store: Store, instance: dg.DagsterInstance
) -> None:
    """Dagster's UI sends the run's process an interrupt; so does this."""
    with Process(["-c", EXECUTE, instance.root_directory]) as process:
        deadline = time.monotonic() + 200
        while not any(store.registry.series(run.run_id) for run in store.registry.runs()):
            assert process.poll() is None and time.monotonic() < deadline, process.err
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        process.wait(100)
    (run,) = store.registry.runs()
    assert run.status == "canceled" and "stopped from outside" in str(run.error)
    assert not psutil.pid_exists(run.pid)
    (record,) = instance.get_run_records()
    assert record.dagster_run.status in (dg.DagsterRunStatus.CANCELED, dg.DagsterRunStatus.FAILURE)
