"""Sweeps in real processes: trials are runs, a few at a time.

What breaks off continues, and the best is proposed.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.datasets.commit.commit import Commit
from mlops_assets.errors import Conflict, SpecificationError, TrainerError, TrialPruned
from mlops_assets.paths import Owner
from mlops_assets.registry import Run
from mlops_assets.store import Store
from mlops_assets.training.process.supervisor import train_supervised
from mlops_assets.training.provenance import process_alive
from mlops_assets.training.request import Pruning
from mlops_assets.training.sweeps import run as sweep_run
from mlops_assets.training.sweeps.plan import Plan
from mlops_assets.training.sweeps.run import run_sweep
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.example_trainers import (
    require_documents,
    training_request,
)
from mlops_assets_tests.training.sweeps import trainers
from mlops_assets_tests.training.sweeps.test_search import succeed
from mlops_assets_tests.training.sweeps.trainers import HERE, curve_model, planned

METRIC: dict[str, Any] = {"metric": "validation_accuracy"}
SWEEP = """
import sys
from mlops_assets.principals import local
from mlops_assets.registry import open_registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets.training.sweeps.run import run_sweep
from mlops_assets_tests.steps import Unheard
from mlops_assets_tests.training.sweeps.test_run import waiting
store = Store(Workspace(sys.argv[1]), open_registry(sys.argv[2]).acting(local("tester")))
run_sweep(store, waiting(sys.argv[3]), Unheard())
"""


@pytest.fixture
def landed(store: Store, land_table: Callable[..., Commit]) -> Store:
    land_table()
    return store


def runs(store: Store) -> list[Run]:
    """The trials' runs, by number, then by when they began."""
    return sorted(
        store.registry.runs("crops"), key=lambda run: (int(run.tags["trial"]), run.started)
    )


def eventually(condition: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.1)


def at_once(done: list[Run]) -> int:
    """Return the largest number of runs at the same time."""
    ends = [(run.started, 1) for run in done] + [(run.finished, -1) for run in done if run.finished]
    count = most = 0
    for _, step in sorted(ends):
        count += step
        most = max(most, count)
    return most


@pytest.mark.slow
def test_a_grid_runs_two_at_a_time_goes_past_failures_and_proposes_the_best(landed: Store) -> None:
    messages: list[str] = []
    plan = planned(
        {"quality": {"choices": [0.2, 0.9]}, "fails": {"choices": [False, True]}, "steps": 2},
        model={"gates": [{"metric": "accuracy", "min": 0.5}]},
        method="grid",
        parallel=2,
        **METRIC,
    )
    result = run_sweep(landed, plan, Unheard(), notify=messages.append)
    done = runs(landed)
    assert [(run.status, run.tags) for run in done] == [
        (status, {"sweep": "s", "trial": str(number)})
        for number, status in enumerate(["succeeded", "failed", "succeeded", "failed"])
    ]
    assert [run.parameters["quality"] for run in done] == [0.2, 0.2, 0.9, 0.9]
    assert "out of luck" in str(done[1].error)
    assert at_once(done) <= 2
    assert len({run.run_id for run in done}) == len({run.pid for run in done}) == 4
    versions = {row.run_id: row for row in landed.registry.model_versions("crops")}
    assert {number: versions[done[number].run_id].stage for number in (0, 2)} == {
        0: "trained",
        2: "recorded",
    }
    assert (result.best.number, result.objective.value(result.best), result.candidate) == (
        2,
        0.9,
        True,
    )
    assert landed.registry.aliases("crops") == {"candidate": result.row.version}
    assert any("validation_accuracy of the validation split" in line for line in messages)
    document: dict[str, Any] = result.document()
    assert [(t["trial"], t["value"]) for t in document["trials"]] == [
        (2, 0.9),
        (0, 0.2),
        (1, None),
        (3, None),
    ]
    assert document["best"]["parameters"] == {"quality": 0.9, "fails": False}
    assert (
        document["gates"].startswith("accuracy ≥ 0.5: passed")
        and document["test_metrics"]["accuracy"] > 0.5
    )

    again = run_sweep(landed, plan, Unheard(), notify=messages.append)
    assert again.document() == document
    assert len(runs(landed)) == 4 and any("4 of 4 trials are done" in line for line in messages)


@pytest.mark.slow
def test_a_sweep_whose_first_trials_all_fail_is_stopped_with_the_reason(landed: Store) -> None:
    plan = planned(
        {"quality": {"min": 0, "max": 1}, "fails": True},
        method="random",
        trials=9,
        parallel=3,
        **METRIC,
    )
    with pytest.raises(
        TrainerError, match=r"the first 3 trials of s failed; the last one: .*out of luck; see"
    ):
        run_sweep(landed, plan, Unheard())
    assert {run.status for run in runs(landed)} <= {"failed", "canceled"}
    assert 3 <= len(runs(landed)) < 9


@pytest.mark.slow
def test_a_metric_that_the_first_trial_does_not_log_stops_the_sweep(landed: Store) -> None:
    plan = planned({"depth": {"min": 1, "max": 5}}, trials=5, model={"trainer": f"{HERE}:blind"})
    with pytest.raises(
        SpecificationError, match=r"none of the validation split .* trial 0 logged train_accuracy"
    ):
        run_sweep(landed, plan, Unheard())
    # the others wait for what it shows
    assert [run.status for run in runs(landed)] == ["succeeded"]


@pytest.mark.slow
def test_a_trial_that_does_badly_is_pruned_in_its_process(landed: Store) -> None:
    for number in range(5):
        succeed(landed.registry, number, [0.1, 0.1, 0.1])
    pruning = Pruning(
        sweep="s", trial=5, metric="validation_loss", direction="minimize", name="median"
    )
    tags = {"sweep": "s", "trial": "5"}
    with pytest.raises(
        TrialPruned, match=r"pruned at step 0: validation_loss is 0\.9, and other trials of s did"
    ):
        train_supervised(
            landed,
            training_request(
                curve_model(),
                "v1",
                {"quality": 0.2, "steps": 2},
                run_id="pruned",
                tags=tags,
                pruning=pruning,
            ),
        )
    run = landed.registry.run("pruned")
    assert (run.status, run.tags, run.model_version) == ("pruned", tags, None)
    assert landed.registry.series("pruned")["validation_loss"] == [(0, 0.9)]
    require_documents(landed, "pruned")


def waiting(go: str, trainer: str = "sweep_curve") -> Plan:
    """Two trials at a time that wait for a file after their first step."""
    parameters = {"quality": {"min": 0.2, "max": 0.8}, "wait_for": go, "steps": 3}
    return planned(
        parameters, trials=2, parallel=2, seed=3, model={"trainer": f"{trainer}:curve"}, **METRIC
    )


@pytest.fixture
def swept(
    landed: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """A process that sweeps, whose two trials have each kept a checkpoint.

    And the file they wait for.
    """
    code = tmp_path / "code"  # a trainer that is not edited while this test runs
    code.mkdir()
    shutil.copy(str(trainers.__file__), code / "sweep_curve.py")
    monkeypatch.syspath_prepend(code)
    go = tmp_path / "go"
    process = subprocess.Popen(
        [sys.executable, "-c", SWEEP, landed.workspace.url, landed.registry.url, str(go)],
        env={**os.environ, "PYTHONPATH": f"{code}{os.pathsep}{Path(__file__).parents[3]}"},
    )
    eventually(
        lambda: (
            len(begun := landed.registry.runs("crops")) == 2
            and all(landed.registry.checkpoints(run.run_id) for run in begun)
        )
    )
    yield process, go
    process.kill()
    process.wait()
    sys.modules.pop("sweep_curve", None)


@pytest.mark.slow
def test_a_killed_sweep_continues_where_each_trial_was(
    landed: Store, swept: tuple[subprocess.Popen[bytes], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    process, go = swept
    with pytest.raises(Conflict, match="sweep s of crops is running in another process"):
        run_sweep(landed, waiting(str(go)), Unheard())
    broken = runs(landed)
    process.send_signal(signal.SIGSTOP)  # so that it cannot record what happens to the first worker
    os.kill(broken[0].pid, signal.SIGKILL)
    process.kill()
    process.wait()
    eventually(lambda: [run.status for run in runs(landed)] == ["running", "canceled"])
    with landed.registry.transaction("change") as session:
        remote, changed = (session.get(Run, run.run_id) for run in broken)
        assert remote is not None and changed is not None
        remote.host = "elsewhere"  # whether its process is gone is unknown
        changed.code_version = "another"
    monkeypatch.setattr(sweep_run, "GONE_SECONDS", 0.5)
    go.touch()
    result = run_sweep(landed, waiting(str(go)), Unheard())
    first, canceled, restarted = runs(landed)
    assert (first.run_id, first.status, first.attempts) == (broken[0].run_id, "succeeded", 2)
    assert [step for step, _ in landed.registry.series(first.run_id)["validation_accuracy"]] == [
        0,
        1,
        2,
    ]
    assert (canceled.run_id, canceled.status) == (broken[1].run_id, "canceled")
    assert (restarted.status, restarted.attempts, restarted.tags, restarted.parameters) == (
        "succeeded",
        1,
        canceled.tags,
        broken[1].parameters,
    )
    assert [trial.run_id for trial in sorted(result.trials, key=lambda t: t.number)] == [
        first.run_id,
        restarted.run_id,
    ]
    assert result.objective.value(result.best) == pytest.approx(
        max(run.parameters["quality"] for run in broken)
    )


def test_an_interrupt_stops_the_workers_and_records_it(landed: Store, tmp_path: Path) -> None:
    def interrupt() -> None:
        eventually(
            lambda: (
                sum(
                    bool(landed.registry.series(run.run_id))
                    for run in landed.registry.runs("crops")
                )
                == 2
            )
        )
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_sweep(landed, waiting(str(tmp_path / "never"), HERE), Unheard())
    thread.join()
    assert [run.status for run in runs(landed)] == ["canceled", "canceled"]
    assert not any(process_alive(run.host, run.pid) for run in runs(landed))


def test_combinations_that_the_trainer_refuses_are_skipped(landed: Store) -> None:
    messages: list[str] = []
    plan = planned(
        {"quality": {"choices": [0.1, 0.6]}, "cautious": {"choices": [True]}},
        method="grid",
        **METRIC,
    )
    result = run_sweep(landed, plan, Unheard(), notify=messages.append)
    assert [trial.number for trial in result.trials] == [0]
    assert any("trial 1 is skipped: " in line and "cautious and good" in line for line in messages)
    parameters = {"quality": {"choices": [0.6, 0.7, 0.8]}, "cautious": {"choices": [True]}}
    with pytest.raises(
        TrainerError, match=r"the first 3 trials of t are invalid: .*cautious and good"
    ):
        run_sweep(landed, planned(parameters, name="t", method="grid"), Unheard())


def test_no_trial_is_begun_when_the_time_is_up(landed: Store) -> None:
    with pytest.raises(
        TrainerError, match="no trial of sweep s has succeeded; none was begun; allow more time"
    ):
        run_sweep(landed, planned({"depth": {"min": 1, "max": 2}}, timeout=1e-9), Unheard())
    assert runs(landed) == []


def test_a_name_is_not_taken_for_a_sweep_that_does_something_else(landed: Store) -> None:
    with planned({"depth": {"min": 1, "max": 2}}, trials=3).claimed(landed):
        pass
    with planned({"depth": {"min": 1, "max": 2}}, trials=4, parallel=2).claimed(landed):
        pass
    other = planned({"depth": {"min": 1, "max": 3}}, model={"seed": 4})
    with pytest.raises(
        Conflict, match=r"sweep s of crops was begun with other model\.seed, parameters; use"
    ):
        run_sweep(landed, other, Unheard())
    assert [file.path for file in landed.registry.files(Owner("sweep:crops/s"))] == [
        "sweeps/crops/s.json"
    ]
