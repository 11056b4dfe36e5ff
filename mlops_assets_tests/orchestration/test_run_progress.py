"""The progress of a run from its log: its steps, its lines, and the pods that it waits for."""

from __future__ import annotations

import logging
import time

import dagster as dg
from dagster._core.events import EngineEventData
from dagster._core.execution.plan.objects import StepSuccessData
from dagster._core.test_utils import create_run_for_test, instance_for_test

from mlops_assets import progress
from mlops_assets.orchestration.following.run_progress import RunProgress
from mlops_assets.store import Store
from mlops_assets_tests.registry.rows import new_run

STEP = "fields__landing"
JOB = EngineEventData({"Kubernetes Job name": dg.MetadataValue.text("dagster-step-1")})


class Shown:
    """Keeps what a display would show."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: dict[str, bool] = {}
        self.seconds: dict[str, int] = {}
        self.steps: dict[str, progress.Step] = {}

    def begin(self, step: progress.Step) -> None:
        self.begun.append(step.what)
        self.steps[step.what] = step

    def end(self, step: progress.Step) -> None:
        self.ended[step.what] = step.failed
        self.seconds[step.what] = round(time.monotonic() - step.started)


def entry(
    event: dg.DagsterEventType | None,
    message: str = "",
    data: EngineEventData | StepSuccessData | None = None,
    timestamp: float | None = None,
    key: str = STEP,
) -> dg.EventLogEntry:
    made = event and dg.DagsterEvent(
        event.value, "job", step_key=key, event_specific_data=data, message=message
    )
    return dg.EventLogEntry(  # type: ignore[no-untyped-call]
        error_info=None,
        level=logging.INFO,
        user_message=message,
        run_id="1234abcd",
        timestamp=time.time() if timestamp is None else timestamp,
        step_key=key,
        dagster_event=made,
    )


def test_steps_begin_and_end_once_and_their_pods_are_known_until_then(store: Store) -> None:
    kind = dg.DagsterEventType
    lines: list[str] = []
    with instance_for_test() as instance, progress.listening(Shown()) as shown:
        run = create_run_for_test(instance, job_name="job")
        with RunProgress(run, 2, store.registry, lines.append) as followed:
            followed.add(entry(kind.STEP_WORKER_STARTING, "in a pod", JOB))
            assert (followed.pods, followed.working) == ({STEP: "dagster-step-1"}, False)
            followed.add(entry(kind.ENGINE_EVENT, "no node has a GPU\n(x4)", EngineEventData()))
            assert followed.reasons == {STEP: "no node has a GPU"}
            followed.add(entry(kind.STEP_START))
            assert (followed.pods, followed.reasons, followed.working) == ({}, {}, True)
            followed.add(entry(kind.ENGINE_EVENT, "of a step that works", EngineEventData()))
            assert followed.reasons == {}
            followed.add(entry(None, "12 files\x1b[2J"))
            # it is executed again after its pod was lost, which is no second step
            followed.add(entry(kind.STEP_RESTARTED, "again"))
            followed.add(entry(kind.STEP_START))
            followed.add(entry(kind.STEP_SUCCESS, "", StepSuccessData(1.0)))  # type: ignore[no-untyped-call]
            assert not followed.working
    whole = f"run {run.run_id[:8]} of job"
    assert shown.begun == [whole, "fields/landing"]
    assert shown.ended == {"fields/landing": False, whole: False}
    # a log may not move the cursor of a terminal
    assert lines == ["fields/landing: 12 files\\x1b[2J"]


def test_a_run_that_ended_long_ago_has_the_durations_of_its_log(store: Store) -> None:
    kind = dg.DagsterEventType
    success = StepSuccessData(1.0)  # type: ignore[no-untyped-call]
    with instance_for_test() as instance, progress.listening(Shown()) as shown:
        run = create_run_for_test(instance, job_name="job")
        with RunProgress(run, 1, store.registry, lambda line: None) as followed:
            followed.add(entry(kind.STEP_WORKER_STARTING, "", EngineEventData(), 1000.0))
            followed.add(entry(kind.STEP_START, timestamp=1300.0))
            followed.add(entry(kind.STEP_SUCCESS, "", success, 1900.0))
            followed.add(entry(None, "done", timestamp=2000.0))
    assert shown.seconds == {"fields/landing": 600, f"run {run.run_id[:8]} of job": 1000}


def test_the_trainings_of_a_sweep_are_counted_until_none_is_running(store: Store) -> None:
    registry = store.registry
    with instance_for_test() as instance, progress.listening(Shown()) as shown:
        run = create_run_for_test(instance, job_name="job")
        with RunProgress(run, 1, registry, lambda line: None) as followed:
            followed.add(entry(dg.DagsterEventType.STEP_START, key="crops__sweep"))
            sweep = shown.steps["crops/sweep"]
            seen = []
            for name in ("a", "b"):
                registry.start_run(new_run(name, orchestration_run=run.run_id))
            for name in ("a", "b"):
                followed.read_trainings()
                seen.append((sweep.done, sweep.unit, sweep.note))
                registry.finish_run(name, "succeeded")
            followed.read_trainings()
            seen.append((sweep.done, sweep.unit, sweep.note))
    assert seen == [
        (0, "trainings", "2 more running"),
        (1, "trainings", "1 more running"),
        (2, "trainings", ""),
    ]
