"""A trainer in a process of its own: its limits, its end, and resuming it after it was killed."""

from __future__ import annotations

import _thread
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import Conflict, MlopsError, TrainerError
from mlops_assets.paths import Owner, model_folder
from mlops_assets.registry import Run
from mlops_assets.store import Store
from mlops_assets.training.process import child_process, supervisor
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets.training.train import train
from mlops_assets_tests import interpreter
from mlops_assets_tests.training.example_trainers import (
    model_specification,
    require_documents,
    training_request,
)
from mlops_assets_tests.training.process.supervised import HERE

STARTER = """
from mlops_assets.settings import Settings
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets_tests.training.example_trainers import model_specification, training_request
from mlops_assets.store import open_store
specification = model_specification(trainer="mlops_assets_tests.training.process.supervised:behave")
request = training_request(specification, "v1", {"does": "hang"})
train_supervised(open_store(Settings.from_environment()), request)
"""


class Clock:
    """The supervisor's clock, which jumps by forty minutes at every poll once a file is there."""

    sleep = staticmethod(time.sleep)

    def __init__(self, begun: Path) -> None:
        self._begun, self._polls = begun, 0

    def monotonic(self) -> float:
        self._polls += self._begun.exists()
        return time.monotonic() + 2400 * self._polls


def attempt(store: Store, does: str, begun: str | None = None, /, **compute: object) -> Run:
    """Train in a way that fails; return the run."""
    specification = model_specification(trainer=f"{HERE}:behave", compute=compute)
    with pytest.raises(MlopsError):
        train_supervised(
            store,
            training_request(
                specification, "v1", {"does": does, "begun": begun}, orchestration_run="attempt"
            ),
        )
    (run,) = store.registry.runs()
    assert store.registry.series(run.run_id)["loss"] == [(0, 1.0)]
    assert f"about to {does}" in store.workspace.get(f"runs/{run.run_id}/log.txt").decode()
    assert not psutil.pid_exists(run.pid)
    assert store.registry.model_versions() == []
    assert run.status == "failed"
    return run


@pytest.mark.parametrize("does", ["bear", "ignore"])
def test_a_trainer_that_exceeds_its_time_is_stopped_with_what_it_has_started(
    does: str,
    store: Store,
    land_table: Callable[..., Commit],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    land_table()
    begun = tmp_path / "begun"
    monkeypatch.setattr(supervisor, "time", Clock(begun))  # however long the trainer takes to begin
    if does == "ignore":
        monkeypatch.setattr(child_process, "GRACE_SECONDS", 0.5)
    run = attempt(store, does, str(begun), time_limit=3600)
    assert "exceeded compute.time_limit, 3600 seconds" in str(run.error)
    for _, child in store.registry.series(run.run_id).get("child", []):
        assert (
            not psutil.pid_exists(int(child))
            or psutil.Process(int(child)).status() == psutil.STATUS_ZOMBIE
        )


@pytest.mark.parametrize(
    ("does", "compute", "message"),
    [
        ("leak", {"memory": "900Mi"}, "of memory, compute.memory is 900Mi"),
        ("die", {}, "was killed by SIGKILL; most likely the machine is out of memory"),
        ("refuse", {}, "ValueError: these fields are fallow"),
        ("log nan", {}, "loss is nan at step 1"),
    ],
    ids=["leak", "die", "refuse", "log nan"],
)
def test_a_trainer_that_misbehaves_ends_with_its_error(
    does: str,
    compute: dict[str, object],
    message: str,
    store: Store,
    land_table: Callable[..., Commit],
) -> None:
    land_table()
    run = attempt(store, does, **compute)
    assert message in str(run.error)
    if does == "log nan":  # the last good checkpoint is kept
        assert [row.step for row in store.registry.checkpoints(run.run_id)] == [0]
        assert f"the checkpoint of step 0 is kept, 'mlops run resume {run.run_id[:8]}'" in str(
            run.error
        )


def test_stopping_the_step_stops_the_trainer_and_records_it(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    specification = model_specification(trainer=f"{HERE}:behave")

    def stop() -> None:
        while not any(store.registry.series(run.run_id) for run in store.registry.runs()):
            time.sleep(0.1)
        _thread.interrupt_main()

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        train_supervised(store, training_request(specification, "v1", {"does": "hang"}))
    thread.join()
    (run,) = store.registry.runs()
    assert (run.status, psutil.pid_exists(run.pid)) == ("canceled", False)
    assert "stopped from outside" in str(run.error)
    require_documents(store, run.run_id)


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    specification = model_specification(trainer=f"{HERE}:stepwise")
    whole = train_supervised(
        store, training_request(specification, "v1", {}, 3, orchestration_run="whole")
    )
    with pytest.raises(TrainerError, match="SIGKILL"):
        train_supervised(
            store,
            training_request(specification, "v1", {"die_at": 4}, 3, orchestration_run="broken"),
        )
    broken = store.registry.runs(orchestration_run="broken")[0]
    require_documents(store, broken.run_id)
    assert [step for step, _ in store.registry.series(broken.run_id)["loss"]] == [0, 1, 2, 3, 4]
    assert [row.step for row in store.registry.checkpoints(broken.run_id)] == [3, 1]
    resumed = train_supervised(
        store, training_request(specification, "v1", {"die_at": 4}, 3, orchestration_run="broken")
    )
    assert resumed.run_id == broken.run_id
    assert native(store, resumed.version) == native(store, whole.version)
    assert store.registry.series(resumed.run_id) == store.registry.series(whole.run_id)
    run = store.registry.run(resumed.run_id)
    assert (run.attempts, run.status, run.error) == (2, "succeeded", None)
    require_documents(store, run.run_id)


def test_a_run_with_other_parameters_is_not_resumed(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    specification = model_specification(trainer=f"{HERE}:stepwise")
    with pytest.raises(TrainerError, match="out of luck"):
        train(
            store,
            training_request(specification, "v1", {"fail_at": 4}, 3, orchestration_run="broken"),
        )
    (broken,) = store.registry.runs()
    assert [row.step for row in store.registry.checkpoints(broken.run_id)] == [3, 1]
    train(store, training_request(specification, "v1", {"steps": 2}, 3, orchestration_run="broken"))
    (run,) = store.registry.runs()
    assert (run.attempts, run.parameters["steps"]) == (1, 2)
    assert [step for step, _ in store.registry.series(run.run_id)["loss"]] == [0, 1]


def test_a_run_that_is_running_in_another_process_is_not_resumed(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    specification = model_specification(trainer=f"{HERE}:stepwise")
    row = train(store, training_request(specification, "v1", {}, 3, orchestration_run="first"))
    done = store.registry.run(row.run_id)
    values = {column.name: getattr(done, column.name) for column in Run.__table__.columns}
    store.registry.start_run(
        Run(
            **values
            | {
                "run_id": "other",
                "status": "running",
                "model_version": None,
                "pid": os.getppid(),
            }
        )
    )
    with pytest.raises(Conflict, match=f"is still running in process {os.getppid()}"):
        train(store, training_request(specification, "v1", {}, 3, run_id="other"))


@pytest.mark.slow  # torchrun imports PyTorch three times
def test_two_processes_train_together_and_one_logs(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    specification = model_specification(trainer=f"{HERE}:together", compute={"processes": 2})
    row = train_supervised(store, training_request(specification))
    assert store.registry.series(row.run_id) == {"total": [(0, 3.0)], "processes": [(0, 2.0)]}
    output = store.workspace.get(f"runs/{row.run_id}/log.txt").decode()
    assert "rank 0" in output and "rank 1" in output


def test_a_worker_ends_with_the_process_that_started_it(
    store: Store, land_table: Callable[..., Commit]
) -> None:
    land_table()
    with interpreter.Process(["-c", STARTER]) as starter:
        while not (
            store.registry.runs() and store.registry.series(store.registry.runs()[0].run_id)
        ):
            assert starter.poll() is None, starter.err
            time.sleep(0.1)
        starter.kill()
        starter.wait()
    while store.registry.runs()[0].status == "running":  # the limit on a test ends it
        time.sleep(0.1)
    (run,) = store.registry.runs()
    assert (run.status, run.error is not None) == ("canceled", True)


@pytest.mark.parametrize(("gpus", "printed"), [(1, "devices 7 "), (0, "devices 7,8 ")])
def test_a_trainer_sees_the_devices_that_were_lent_to_it_and_the_cpus_declared(
    gpus: int,
    printed: str,
    store: Store,
    land_table: Callable[..., Commit],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7,8")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    land_table()
    run = attempt(store, "exit", gpus=gpus, cpus=2)
    output = store.workspace.get(f"runs/{run.run_id}/log.txt").decode()
    assert printed in output and "threads 2 cpu" in output
    assert "exited unexpectedly" in str(run.error)


def test_a_run_records_the_instructions_and_threads_of_its_own_process(
    store: Store, land_table: Callable[..., Commit], monkeypatch: pytest.MonkeyPatch
) -> None:
    land_table()
    specification = model_specification(trainer=f"{HERE}:stepwise", compute={"cpus": 2})
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    for chosen in ("default", "avx2"):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", chosen)
        row = train_supervised(store, training_request(specification, "v1", {"steps": 1}))
        hardware = store.registry.run(row.run_id).hardware
        assert hardware["instructions"]["pytorch"] == chosen.upper()
        assert hardware["threads"]["pytorch"] == 2
        assert hardware["variables"]["ATEN_CPU_CAPABILITY"] == chosen


def native(store: Store, version: str) -> dict[str, str]:
    """Name → checksum of the native files of a version."""
    row = next(row for row in store.registry.model_versions() if row.version == version)
    folder = f"{model_folder(row.model, row.version)}/native/"
    files = store.registry.files(Owner(f"model:{row.model}@{row.version}"))
    return {
        file.path.removeprefix(folder): file.sha256
        for file in files
        if file.path.startswith(folder)
    }
