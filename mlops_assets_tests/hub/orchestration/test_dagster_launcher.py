"""Runs that the hub launches: what is submitted, who they act for, what is refused."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import psutil
import pytest
from dagster._core.definitions.job_base import InMemoryJob
from dagster._core.execution.api import execute_run
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.types import DaemonHeartbeat
from sqlalchemy.exc import OperationalError

from mlops_assets.components.naming import COMMAND, RESUME
from mlops_assets.components.project.definitions import models_of_project
from mlops_assets.components.project.home import prepare_home
from mlops_assets.errors import (
    Conflict,
    Forbidden,
    MlopsError,
    NotFound,
    OrchestratorUnavailable,
    SpecificationError,
)
from mlops_assets.hub.orchestration.assessment import committed_version
from mlops_assets.hub.orchestration.dagster_launcher import DagsterLauncher
from mlops_assets.hub.orchestration.launcher import Sweep, TrainingRequest
from mlops_assets.identity.delegation import delegate, delegation_key
from mlops_assets.names import Reference
from mlops_assets.orchestration.code_locations import CodeLocations
from mlops_assets.orchestration.submission import NO_DAEMON
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import Checkpoint, Run
from mlops_assets.registry.store import now
from mlops_assets.store import Store
from mlops_assets_tests.integrations.external.project.definitions import defs
from resources.store import ACTS_FOR

MODULE = "mlops_assets_tests.integrations.external.project.definitions"
ANN = Principal("ann", frozenset({Role.SCIENTIST}))
V1 = Reference("fields", "v1")
REQUEST = TrainingRequest("declared_crops", V1)


@pytest.fixture
def ann(store: Store) -> Store:
    return store.acting(ANN)


@pytest.fixture
def launcher(store: Store) -> Iterator[DagsterLauncher]:
    home = prepare_home(store.workspace.root / "dagster")
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name=MODULE), "project"
    )
    target = InProcessWorkspaceLoadTarget([origin])
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        CodeLocations(instance, target) as locations,
    ):
        yield DagsterLauncher(locations, models_of_project(MODULE), delegation_key(None, home))


def submitted(launcher: DagsterLauncher, run_id: str) -> dg.DagsterRun:
    run = launcher.instance.get_run_by_id(run_id)
    assert run is not None
    return run


def execute(launcher: DagsterLauncher, run_id: str, **tags: str) -> str:
    """Execute a queued run in this process, as a code server would; return its status."""
    instance = launcher.instance
    if tags:
        instance.add_run_tags(run_id, tags)
    name = submitted(launcher, run_id).job_name
    instance.report_dagster_event(
        dg.DagsterEvent(dg.DagsterEventType.PIPELINE_STARTING.value, name), run_id
    )
    job = InMemoryJob(defs.resolve_job_def(name))
    result = execute_run(job, submitted(launcher, run_id), instance)
    return "SUCCESS" if result.success else "FAILURE"


def config_of(run: dg.DagsterRun, op: str) -> Any:
    config: Any = run.run_config
    return config["ops"][op]["config"]


def test_a_training_is_queued_with_config_and_is_recorded_as_of_who_asked(
    launcher: DagsterLauncher, ann: Store
) -> None:
    request = replace(
        REQUEST,
        parameters={"n_estimators": 3},
        seed=7,
        compute={"memory": "1Gi"},
        tags={"why ☂": "a = b"},
        note="<b>first</b>",
    )
    launched = launcher.train(ann, request)
    assert launched.notice == NO_DAEMON
    run = submitted(launcher, launched.orchestration_run)
    assert (run.status, run.job_name) == (dg.DagsterRunStatus.QUEUED, "declared_crops_lifecycle")
    config = config_of(run, "declared_crops__trained_model")
    assert config == {"n_estimators": 3, "seed": 7}
    assert execute(launcher, run.run_id) == "SUCCESS"
    (training,) = ann.registry.runs()
    assert (training.created_by, training.seed, training.tags) == ("ann", 7, {"why ☂": "a = b"})
    (note,) = ann.registry.notes(training.run_id)
    assert (note.text, note.noted_by) == ("<b>first</b>", "ann")
    state = launcher.state(ann, run.run_id)
    assert (state.status, state.runs, state.errors) == ("SUCCESS", [training.run_id], [])
    assert (state.model, state.dataset, state.partition) == ("declared_crops", "fields", "v1")


def test_a_database_of_dagster_that_restarts_is_reported_as_out_of_reach(
    launcher: DagsterLauncher, ann: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = launcher.train(ann, REQUEST).orchestration_run

    def restarting(*given: object, **named: object) -> None:
        raise OperationalError("SELECT", None, OSError("postgresql://user:secret@host is down"))

    for name in ("create_run", "get_run_by_id"):
        monkeypatch.setattr(launcher.instance, name, restarting)
    for ask in (
        lambda: launcher.train(ann, REQUEST),
        lambda: launcher.state(ann, run_id),
        lambda: launcher.cancel(ann, run_id),
    ):
        with pytest.raises(OrchestratorUnavailable, match="does not answer") as refusal:
            ask()
        assert "secret" not in str(refusal.value)


def test_a_run_never_has_roles_that_its_process_has_not(
    launcher: DagsterLauncher, ann: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_ROLES", "viewer")
    run_id = launcher.train(ann, REQUEST).orchestration_run
    assert execute(launcher, run_id) == "FAILURE"
    assert not ann.registry.runs()
    (error,) = launcher.state(ann, run_id).errors
    assert "ann may not" in error and "has no role" in error


def test_whoever_writes_tags_acts_for_nobody_else(launcher: DagsterLauncher, ann: Store) -> None:
    run_id = launcher.train(ann, REQUEST).orchestration_run
    root = delegate(Principal("root", frozenset(Role)), run_id, b"x" * 32)
    assert execute(launcher, run_id, **{ACTS_FOR: root}) == "FAILURE"
    assert "not signed" in launcher.state(ann, run_id).errors[0]
    assert not ann.registry.runs()


def test_a_daemon_that_beats_starts_it(launcher: DagsterLauncher, ann: Store) -> None:
    def beat(age: float) -> None:
        launcher.instance.add_daemon_heartbeat(
            DaemonHeartbeat(time.time() - age, "QUEUED_RUN_COORDINATOR", None, [])
        )

    beat(300)
    launched = launcher.train(ann, REQUEST)
    assert launched.notice == NO_DAEMON
    beat(10)
    assert launcher.train(ann, REQUEST).notice == ""
    assert launcher.state(ann, launched.orchestration_run).notice == ""


def test_a_sweep_has_its_space_and_fixed_parameters(launcher: DagsterLauncher, ann: Store) -> None:
    sweep = Sweep(trials=2, space={"max_depth": {"choices": [2, 3]}}, method="random")
    request = replace(REQUEST, parameters={"n_estimators": 3}, sweep=sweep, tags={"why": "sweep"})
    run_id = launcher.train(ann, request).orchestration_run
    config = config_of(submitted(launcher, run_id), "declared_crops__sweep")
    assert config["parameters"] == {"n_estimators": 3, "max_depth": {"choices": [2, 3]}}
    assert execute(launcher, run_id) == "SUCCESS"
    trials = ann.registry.runs()
    assert {run.created_by for run in trials} == {"ann"}
    assert {run.tags["why"] for run in trials} == {"sweep"}
    assert {run.parameters["n_estimators"] for run in trials} == {3}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"model": "nope"}, NotFound, "does not declare the model 'nope'; it declares declared_c"),
        ({"data": Reference("fields", "v9")}, NotFound, "fields@v9"),
        ({"data": Reference("others", "v1")}, SpecificationError, "versions of fields, not of"),
        ({"compute": {"gpus": -1}}, SpecificationError, "gpus"),
        ({"compute": {"disk": 1}}, SpecificationError, "disk"),
        ({"tags": {"sweep": "mine"}}, SpecificationError, "set by sweeps"),
        ({"tags": {'a"b': "c"}}, SpecificationError, "cannot name a tag"),
        ({"parameters": {"estimator": 3}}, MlopsError, "estimator"),
        ({"sweep": Sweep(space={})}, SpecificationError, "the sweep"),
    ],
)
def test_what_cannot_be_trained_is_not_queued(
    launcher: DagsterLauncher,
    ann: Store,
    changes: dict[str, Any],
    error: type[MlopsError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        launcher.train(ann, replace(REQUEST, **changes))
    assert launcher.instance.get_runs_count() == 0


def test_who_may_only_read_changes_nothing(launcher: DagsterLauncher, store: Store) -> None:
    viewer = store.acting(Principal("vic", frozenset({Role.VIEWER})))
    run = training(store)
    for act in (
        lambda: launcher.train(viewer, REQUEST),
        lambda: launcher.commit(viewer, "fields"),
        lambda: launcher.resume(viewer, run),
        lambda: launcher.stop(viewer, run),
        lambda: launcher.cancel(viewer, "any"),
    ):
        with pytest.raises(Forbidden, match="scientist"):
            act()
    assert launcher.instance.get_runs_count() == 0


def test_a_run_on_data_that_one_may_not_see_is_not_there(
    launcher: DagsterLauncher, ann: Store, store: Store
) -> None:
    run_id = launcher.train(ann, REQUEST).orchestration_run
    store.registry.set_visibility(store.registry.data_version(V1), Visibility.PRIVATE, "not yet")
    bob = store.acting(Principal("bob", frozenset({Role.SCIENTIST})))
    for act in (launcher.state, launcher.cancel):
        with pytest.raises(NotFound, match="Dagster has no run"):
            act(bob, run_id)
    assert submitted(launcher, run_id).status == dg.DagsterRunStatus.QUEUED


def test_a_queued_run_is_canceled_once(launcher: DagsterLauncher, ann: Store) -> None:
    run_id = launcher.train(ann, REQUEST).orchestration_run
    launcher.cancel(ann, run_id)
    assert launcher.state(ann, run_id).status == "CANCELED"
    with pytest.raises(Conflict, match="has ended"):
        launcher.cancel(ann, run_id)


def test_a_commit_is_launched_once_and_its_version_is_assessed(
    launcher: DagsterLauncher, ann: Store
) -> None:
    run_id = launcher.commit(ann, "fields").orchestration_run
    with pytest.raises(Conflict, match="is being committed"):
        launcher.commit(ann, "fields")
    with pytest.raises(NotFound, match="'nope'"):
        launcher.commit(ann, "nope")
    run = submitted(launcher, run_id)
    launcher.instance.add_run_tags(run_id, {"noted": "kept"})
    job = defs.resolve_job_def(run.job_name)
    # beside the queued run, whose end is then reported with the version that was found
    done = job.execute_in_process(instance=launcher.instance, tags=dict(run.tags))
    assert committed_version(launcher.instance, done.run_id) == "v1"


def training(store: Store, **changes: Any) -> Run:
    """Record a run of `declared_crops` that is under way in this process."""
    row = store.registry.data_version(V1)
    values = {
        "run_id": "11111111-1111-4111-8111-111111111111",
        "model": "declared_crops",
        "dataset": "fields",
        "data_version": "v1",
        "data_digest": row.digest,
        "status": "running",
        "parameters": {"n_estimators": 4},
        "seed": 3,
        "trainer": "t",
        "code_version": "c",
        "hardware": {},
        "metrics": {},
        "started": now(),
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "tags": {},
        "created_by": "ann",
        **changes,
    }
    store.registry.start_run(Run(**values))
    return store.registry.run(str(values["run_id"]))


def ended(store: Store, status: str, checkpoint: bool) -> Run:
    run = training(store)
    if checkpoint:
        store.registry.add_checkpoint(
            Checkpoint(
                run_id=run.run_id,
                seq=1,
                step=1,
                path="1",
                sha256="0" * 64,
                size=1,
                created=now(),
            )
        )
    store.registry.finish_run(run.run_id, status)
    return store.registry.run(run.run_id)


def test_a_stopped_run_is_resumed_once_with_what_it_had(
    launcher: DagsterLauncher, ann: Store, store: Store
) -> None:
    run = ended(store, "canceled", checkpoint=True)
    launched = submitted(launcher, launcher.resume(ann, run).orchestration_run)
    assert launched.tags[RESUME] == run.run_id
    config = config_of(launched, "declared_crops__trained_model")
    assert config == {"n_estimators": 4, "seed": 3}
    with pytest.raises(Conflict, match="resumed already"):
        launcher.resume(ann, run)


@pytest.mark.parametrize("checkpoint", [False, True])
def test_what_cannot_be_resumed_says_why(
    launcher: DagsterLauncher, ann: Store, store: Store, checkpoint: bool
) -> None:
    if not checkpoint:
        with pytest.raises(Conflict, match="kept no checkpoint"):
            launcher.resume(ann, ended(store, "failed", checkpoint=False))
        return
    with pytest.raises(Conflict, match="still running"):
        launcher.resume(ann, training(store))
    external = replace_source(store.registry.runs()[0])
    with pytest.raises(Conflict, match="external"):
        launcher.resume(ann, external)
    with pytest.raises(Conflict, match="its own script"):
        launcher.stop(ann, external)


def replace_source(run: Run) -> Run:
    run.source = "external"
    return run


def test_a_run_whose_process_is_gone_is_closed_and_can_then_be_resumed(
    launcher: DagsterLauncher, ann: Store, store: Store
) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    run = training(store, pid=gone.pid)
    with pytest.raises(Conflict, match="marked as failed"):
        launcher.stop(ann, run)
    assert store.registry.run(run.run_id).status == "failed"


def test_a_process_that_only_has_the_same_id_gets_no_signal(
    launcher: DagsterLauncher, ann: Store, store: Store
) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as other:
        job = defs.resolve_job_def("declared_crops_lifecycle")
        made = launcher.instance.create_run_for_job(
            job,
            tags={COMMAND: "true", "dagster/partition": "v1"},
            status=dg.DagsterRunStatus.STARTED,
        )
        run = training(store, pid=other.pid, orchestration_run=made.run_id)
        with pytest.raises(Conflict, match=f"kill -INT.*{other.pid}"):
            launcher.stop(ann, run)
        assert psutil.Process(other.pid).is_running() and other.poll() is None
        other.kill()


COMMAND_LINE = """
import subprocess, sys, time
sys.stdin.readline()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
try:
    child.wait()
except KeyboardInterrupt:
    child.kill()
    sys.exit(130)
"""


def test_a_run_of_a_command_gets_its_ctrl_c(
    launcher: DagsterLauncher, ann: Store, store: Store, tmp_path: Path
) -> None:
    script = tmp_path / "bin" / "mlops"
    script.parent.mkdir()
    script.write_text(COMMAND_LINE)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with subprocess.Popen(
        [sys.executable, str(script), "train"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as command:
        assert command.stdout is not None and command.stdin is not None
        job = defs.resolve_job_def("declared_crops_lifecycle")
        made = launcher.instance.create_run_for_job(
            job, tags={COMMAND: "true", "dagster/partition": "v1"}
        )
        launcher.instance.report_dagster_event(
            dg.DagsterEvent(dg.DagsterEventType.PIPELINE_START.value, job.name), made.run_id
        )
        # a trainer starts after the run that it serves
        command.stdin.write("\n")
        command.stdin.flush()
        trainer = int(command.stdout.readline())
        run = training(store, pid=trainer, orchestration_run=made.run_id)
        launcher.stop(ann, run)
        assert command.wait(20) == 130


def test_a_code_server_that_cannot_be_reached_is_named(store: Store, ann: Store) -> None:
    home = prepare_home(store.workspace.root / "dagster")
    origin = InProcessCodeLocationOrigin(
        LoadableTargetOrigin(executable_path=sys.executable, module_name="no_such_module"), "it"
    )
    with (
        dg.DagsterInstance.from_config(str(home)) as instance,
        CodeLocations(instance, InProcessWorkspaceLoadTarget([origin])) as locations,
        pytest.warns(UserWarning, match="Error loading repository location"),
    ):
        launcher = DagsterLauncher(locations, models_of_project(MODULE), b"k" * 32)
        with pytest.raises((SpecificationError, OrchestratorUnavailable), match="no_such_module"):
            launcher.train(ann, REQUEST)
