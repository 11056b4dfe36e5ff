"""Commands whose runs a Dagster daemon executes: submitted, followed, cancelled, refused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.components.project.home import prepare_home
from mlops_assets.registry import open_registry
from mlops_assets.settings import Settings
from mlops_assets_tests import interpreter
from mlops_assets_tests.cli.conftest import Mlops

TRAINER = """
import time

from pydantic import BaseModel


class Params(BaseModel):
    epochs: int = 2000


def train(data, params: Params, run):
    for epoch in range(params.epochs):
        run.log({"train_loss": 1.0 / (epoch + 1)}, step=epoch)
        run.checkpoint({"epoch": epoch}, epoch)
        time.sleep(0.1)
"""
MODELS = """
---
type: mlops_assets.components.TrainedModel
attributes:
  name: samples_strict
  dataset: samples
  task: classification
  trainer: mlops_assets.training.trainers.sklearn:train
  params: {estimator: sklearn.tree.DecisionTreeClassifier}
  gates:
    - {metric: accuracy, min: 0.999}
---
type: mlops_assets.components.TrainedModel
attributes:
  name: samples_slow
  dataset: samples
  task: classification
  trainer: fieldwork.own:train
"""
# without sensors, which would fill the queue with runs of their own
DEFINITIONS = """
import dagster as dg

from mlops_assets.components import load_project


@dg.definitions
def defs() -> dg.Definitions:
    loaded = load_project(__file__)
    return dg.Definitions(
        assets=loaded.assets,
        jobs=loaded.jobs,
        resources=loaded.resources,
        executor=loaded.executor,
        asset_checks=loaded.asset_checks,
        metadata=loaded.metadata,
    )
"""
KUBERNETES = """
run_launcher:
  module: dagster_k8s
  class: K8sRunLauncher
  config:
    job_image: example.org/project:1
    dagster_home: /home/mlops
    instance_config_map: dagster
    service_account_name: runs
"""


@pytest.fixture
def environment(committed: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of commands in a project with three models, for its instance."""
    (committed / "fieldwork" / "own.py").write_text(TRAINER)
    with (committed / "fieldwork" / "defs" / "samples" / "defs.yaml").open("a") as declared:
        declared.write(MODELS)
    (committed / "fieldwork" / "definitions.py").write_text(DEFINITIONS)
    home = prepare_home(committed / "workspace" / "dagster")
    monkeypatch.setenv("MLOPS_LAUNCH", "instance")
    monkeypatch.setenv("MLOPS_USER", "ann")
    monkeypatch.setenv("PYTHONPATH", str(committed))
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    return dict(os.environ)


@pytest.fixture
def daemon(environment: dict[str, str], committed: Path) -> Iterator[None]:
    """Dagster's daemon on the project, of another user."""
    command = ["-m", "dagster._daemon", "run", "-m", "fieldwork.definitions"]
    with (
        interpreter.Process(command, committed, environment | {"MLOPS_USER": "daemon"}) as process,
        instance_of(environment) as instance,
    ):
        deadline = time.monotonic() + 200
        while "QUEUED_RUN_COORDINATOR" not in instance.get_daemon_heartbeats():
            assert process.poll() is None and time.monotonic() < deadline, process.err
            time.sleep(0.2)
        yield
        process.send_signal(signal.SIGINT)
        process.wait(60)


def instance_of(environment: dict[str, str]) -> dg.DagsterInstance:
    return dg.DagsterInstance.from_config(environment["DAGSTER_HOME"])


def runs_of(environment: dict[str, str]) -> dict[str, str]:
    """The jobs of the instance, and what became of the last run of each."""
    with instance_of(environment) as instance:
        return {run.job_name: run.status.value for run in reversed(instance.get_runs())}


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("daemon")
def test_a_daemon_executes_what_commands_ask_for_and_they_report_as_if_they_did(
    environment: dict[str, str], committed: Path, mlops: Mlops
) -> None:
    trained = interpreter.run(
        ["mlops", "train", "samples_forest", "-p", "n_estimators=3"],
        committed,
        environment,
        b"",
        300,
    )
    assert trained.returncode == 0, trained.stdout + trained.stderr
    assert "samples_forest@" in trained.stdout and "is recorded" in trained.stdout
    assert "samples_forest/evaluation: done" in trained.stderr
    registry = open_registry(Settings.from_environment().registry)
    (run,) = registry.runs("samples_forest")
    # it was signed with the key that the daemon's processes have, too
    assert run.created_by == "ann"

    strict = ["mlops", "train", "samples_strict"]
    there = interpreter.run(strict, committed, environment, b"", 300)
    here = interpreter.run(strict, committed, environment | {"MLOPS_LAUNCH": "here"}, b"", 300)
    assert there.returncode == here.returncode == 1
    assert errors_of(there.stderr) == errors_of(here.stderr)
    assert "check 'gates' failed: accuracy" in errors_of(there.stderr)
    assert there.stdout.count("is recorded") == here.stdout.count("is recorded") == 1


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.usefixtures("daemon")
def test_an_interrupt_cancels_the_run_of_a_command_and_leaves_one_that_is_followed(
    environment: dict[str, str], committed: Path, mlops: Mlops
) -> None:
    with interpreter.Process(["mlops", "train", "samples_slow"], committed, environment) as slow:
        slow.wait_for_output("samples_slow/trained_model: epoch", 200)
        slow.send_signal(signal.SIGINT)
        assert slow.wait(200) == 130, slow.err
    assert "cancelling Dagster's run" in slow.err
    assert "to continue: mlops run resume" in slow.err.splitlines()[-1]
    assert runs_of(environment)["samples_slow_lifecycle"] == "CANCELED"

    left = interpreter.run(["mlops", "train", "samples_slow", "--detach"], committed, environment)
    run_id = left.stdout.strip()
    with interpreter.Process(["mlops", "run", "follow", run_id], committed, environment) as other:
        other.wait_for_output("samples_slow/trained_model: epoch", 200)
        other.send_signal(signal.SIGINT)
        assert other.wait(100) == 130, other.err
    assert f"mlops run cancel {run_id[:8]}" in other.err
    assert runs_of(environment)["samples_slow_lifecycle"] == "STARTED"
    assert mlops("run", "cancel", run_id[:8]).code == 0
    followed = mlops("run", "follow", run_id)
    assert followed.code == 1 and "was cancelled" in followed.err


def errors_of(text: str) -> str:
    return text[text.index("error: ") :]


def test_without_a_daemon_nothing_is_submitted(environment: dict[str, str], mlops: Mlops) -> None:
    refused = mlops("train", "samples_forest")
    assert refused.code == 1
    assert "daemon does not run" in refused.err and "MLOPS_LAUNCH=here" in refused.err
    assert "samples_forest_lifecycle" not in runs_of(environment)


def test_detaching_from_this_process_is_refused(
    environment: dict[str, str], mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLOPS_LAUNCH", "here")
    refused = mlops("train", "samples_forest", "--detach")
    assert refused.code == 1 and "MLOPS_LAUNCH=instance" in refused.err
    assert "samples_forest_lifecycle" not in runs_of(environment)


def test_a_file_of_this_machine_is_refused_where_pods_would_read_it(
    environment: dict[str, str], committed: Path, mlops: Mlops
) -> None:
    record = committed / "collection.json"
    record.write_text("{}")
    with (Path(environment["DAGSTER_HOME"]) / "dagster.yaml").open("a") as settings:
        settings.write(KUBERNETES)
    refused = mlops("dataset", "use", str(record), "--dataset", "samples")
    assert refused.code == 1
    assert f"{record}: on this machine only" in refused.err and "K8sRunLauncher" in refused.err
