"""Following runs: to a retry, over a lost connection, and until an interrupt."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator

import dagster as dg
import pytest
from dagster._core.storage.tags import AUTO_RETRY_RUN_ID_TAG, WILL_RETRY_TAG
from dagster._core.test_utils import create_run_for_test, instance_for_test
from sqlalchemy.exc import OperationalError

from mlops_assets.orchestration.following import connection, follow
from mlops_assets.orchestration.following.connection import PatientReader
from mlops_assets.orchestration.following.follow import Follower
from mlops_assets.orchestration.following.interrupts import Interrupts, StillRunning
from mlops_assets.orchestration.results import StepFailure
from mlops_assets.store import Store
from mlops_assets_tests.orchestration import queued_run
from mlops_assets_tests.servers.postgres import PostgresServer

RUN = "1234abcd-0000-0000-0000-000000000000"


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with instance_for_test() as instance:
        yield instance


@pytest.fixture
def lines() -> list[str]:
    return []


@pytest.fixture
def follower(instance: dg.DagsterInstance, store: Store, lines: list[str]) -> Follower:
    return Follower(instance, store.registry, lines.append)


@dg.asset
def harvest() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"tonnes": 7})


def test_the_retry_of_a_run_is_followed_instead(
    follower: Follower, instance: dg.DagsterInstance, lines: list[str]
) -> None:
    again = dg.materialize([harvest], instance=instance)
    failed = create_run_for_test(
        instance,
        status=dg.DagsterRunStatus.FAILURE,
        tags={WILL_RETRY_TAG: "true", AUTO_RETRY_RUN_ID_TAG: again.run_id},
    )
    result = follower.follow(failed.run_id, Interrupts(failed.run_id))
    assert result.run_id == again.run_id
    assert result.metadata("harvest")["tonnes"].value == 7
    assert "it is retried as run" in lines[0]


def test_a_run_that_could_not_start_fails_with_the_reason(
    follower: Follower, instance: dg.DagsterInstance
) -> None:
    run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTING)
    instance.report_run_failed(run, "ErrImagePull: no such image")
    with pytest.raises(StepFailure, match="failed: ErrImagePull: no such image"):
        follower.follow(run.run_id, Interrupts(run.run_id))


def test_a_queued_run_is_cancelled_by_the_first_interrupt(
    follower: Follower, instance: dg.DagsterInstance, lines: list[str]
) -> None:
    run = queued_run(instance)
    with Interrupts(run.run_id) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(KeyboardInterrupt) as interrupt:
            follower.follow(run.run_id, interrupts)
    assert not isinstance(interrupt.value, StillRunning) and "cancelling" in lines[0]


def test_the_second_interrupt_leaves_the_run_and_names_the_commands() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interrupts(RUN) as interrupts:
        os.kill(os.getpid(), signal.SIGINT)
        assert interrupts.requested
        with pytest.raises(StillRunning, match=r"run follow 1234abcd'.*run cancel 1234abcd'"):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before


def test_the_second_interrupt_states_that_the_run_is_being_cancelled_if_it_is(
    follower: Follower, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = queued_run(instance)

    def ignored(instance: dg.DagsterInstance, run: dg.DagsterRun) -> None:
        """Cancel it so slowly that the user does not wait."""

    def interrupted(self: Interrupts, seconds: float) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(follow, "cancel_run", ignored)
    monkeypatch.setattr(Interrupts, "wait", interrupted)
    with Interrupts(run.run_id) as interrupts, pytest.raises(StillRunning) as interrupt:
        follower.follow(run.run_id, interrupts)
    assert "is being cancelled" in str(interrupt.value)
    assert "left running" not in str(interrupt.value)


def test_a_database_that_restarts_is_waited_for(
    lines: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "WAIT_SECONDS", 0.0)
    answers: list[Exception | int] = [OperationalError("SELECT", None, OSError("refused"))] * 2
    answers.append(7)

    def read() -> int:
        found = answers.pop(0)
        if isinstance(found, Exception):
            raise found
        return found

    assert PatientReader(Interrupts(RUN), lines.append).read(read) == 7
    assert len(lines) == 2 and "reachable again" in lines[1]


@pytest.mark.services
def test_a_run_is_followed_over_a_crash_of_the_server_that_has_its_log(
    postgres_server: PostgresServer,
    new_database: Callable[[], str],
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "WAIT_SECONDS", 0.0)
    url = new_database().replace("+psycopg:", "+psycopg2:")
    lines: list[str] = []
    with instance_for_test({"storage": {"postgres": {"postgres_url": url}}}) as instance:
        run = create_run_for_test(instance, status=dg.DagsterRunStatus.STARTED)

        class Crash(Interrupts):
            def wait(self, seconds: float) -> None:
                if not lines:
                    lines.append("crashes")
                    postgres_server.crash()

        def report(line: str) -> None:
            lines.append(line)
            if "unreachable" in line:
                postgres_server.start()
            if "reachable again" in line:
                done = dg.DagsterEvent(dg.DagsterEventType.RUN_SUCCESS.value, run.job_name)
                instance.report_dagster_event(done, run.run_id)

        try:
            result = Follower(instance, store.registry, report).follow(
                run.run_id, Crash(run.run_id)
            )
        finally:
            postgres_server.restart()
    assert result.run_id == run.run_id
    assert [line.split(" ")[-1] for line in lines] == ["crashes", "affected", "again"]


def test_an_interrupt_while_the_database_is_unreachable_leaves_the_run() -> None:
    def read() -> int:
        raise OperationalError("SELECT", None, OSError("refused"))

    interrupts = Interrupts(RUN)
    interrupts.requested = True
    with pytest.raises(StillRunning, match="unreachable"):
        PatientReader(interrupts, lambda line: None).read(read)
