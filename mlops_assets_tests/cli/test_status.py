"""`mlops status`: what runs, what failed lately, and what waits."""

from __future__ import annotations

import os
import socket
from datetime import timedelta
from pathlib import Path

import pytest

from mlops_assets.registry import Run, open_registry
from mlops_assets.registry.schema import Checkpoint, ModelVersion
from mlops_assets.registry.store import Registry, now
from mlops_assets.settings import Settings
from mlops_assets_tests.cli.conftest import Mlops
from mlops_assets_tests.registry.rows import data_version, failed_rule, new_run

GONE = 2**22 + 1  # more than Linux gives as a process id


@pytest.fixture
def registry(project: Path) -> Registry:
    """The registry of the project, with `samples@v1`."""
    registry = open_registry(Settings.from_environment().registry)
    row = data_version(dataset="samples", digest="d" * 64)
    registry.publish_data_version(row, [])
    return registry


def start(registry: Registry, run_id: str, model: str = "crops", **facts: object) -> None:
    here = {"host": socket.gethostname(), "pid": os.getpid()}
    of_samples = {"model": model, "dataset": "samples", "data_digest": "d" * 64}
    registry.start_run(new_run(run_id, **of_samples | here | facts))


def test_status_of_a_new_project_names_the_first_step_and_creates_nothing(
    project: Path, mlops: Mlops
) -> None:
    (waiting,) = mlops("status", "--json").json["waiting"]
    assert waiting["command"] == "mlops dataset commit samples"
    assert ": empty" in mlops("status").out
    assert not (project / "workspace" / "registry.db").exists()


def test_a_folder_without_a_project_names_the_commands_that_create_one(
    tmp_path: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert "'mlops init DIR' creates one" in mlops("status").out
    assert list(tmp_path.iterdir()) == []


def test_runs_under_way_have_their_step_metrics_and_process(
    registry: Registry, mlops: Mlops
) -> None:
    start(registry, "1" * 8, tags={"sweep": "deep", "trial": 0})
    start(registry, "2" * 8, pid=GONE)
    start(registry, "3" * 8, host="elsewhere")
    registry.log(
        "1" * 8,
        [(0, "train_loss", 0, 0.9, 0.0), (1, "train_loss", 1, 0.5, 0.0), (2, "[x]", 1, 1.0, 0.0)],
    )
    found = mlops("status", "--json").json
    assert [(run["step"], run["alive"]) for run in found["running"]] == [
        (1, True),
        (None, False),
        (None, None),
    ]
    assert found["running"][0]["metrics"] == {"train_loss": 0.5, "[x]": 1.0}
    assert found["sweeps"] == [{"name": "deep", "model": "crops", "trials": {"running": 1}}]
    out = mlops("status").out
    assert "step 1, train_loss 0.5, [x] 1" in out and "its process" in out and "on elsewhere" in out
    assert "sweep deep of crops: 1 running trial(s)" in out


def test_failures_have_one_line_and_the_next_command_until_a_later_run_succeeds(
    registry: Registry, mlops: Mlops
) -> None:
    for run_id, model in (
        ("1" * 8, "crops"),
        ("2" * 8, "weeds"),
        ("3" * 8, "trees"),
        ("4" * 8, "old"),
    ):
        start(registry, run_id, model)
        registry.finish_run(
            run_id,
            "failed",
            "Traceback (most recent call last):\n  File x\nValueError: boom [/red]",
        )
    checkpoint = Checkpoint(
        run_id="2" * 8, step=7, seq=0, path="p", sha256="s", size=1, created=now()
    )
    registry.add_checkpoint(checkpoint)
    with registry.transaction("change") as session:
        session.get_one(Run, "4" * 8).finished = now() - timedelta(hours=25)
    start(registry, "5" * 8, "trees")
    publish(registry, "5" * 8, "trees", "v1-00000005")
    failed = mlops("status", "--json").json["failed"]
    assert [(run["model"], run["command"]) for run in failed] == [
        ("weeds", "mlops run resume 22222222"),
        ("crops", "mlops run show 11111111"),
    ]
    assert {run["error"] for run in failed} == {"ValueError: boom [/red]"}
    assert "→ mlops run resume 22222222" in mlops("status").out


def publish(registry: Registry, run_id: str, model: str, version: str, **metrics: float) -> None:
    """Publish and record the model version of a run."""
    row = ModelVersion(
        model=model,
        version=version,
        run_id=run_id,
        dataset="samples",
        data_version="v1",
        data_digest="d" * 64,
        task="classification",
        framework="x",
        signature={},
        stage="trained",
        metrics={},
        created=now(),
    )
    registry.publish_model_version(row, [])
    registry.advance(row, "recorded", [], metrics)


def test_training_on_new_data_and_versions_that_pass_their_gates_are_pending(
    registry: Registry, mlops: Mlops
) -> None:
    def commands() -> list[str]:
        return [each["command"] for each in mlops("status", "--json").json["waiting"]]

    assert commands() == ["mlops train samples_forest@v1"]
    start(registry, "1" * 8, "samples_forest")
    assert commands() == []
    publish(registry, "1" * 8, "samples_forest", "v1-00000001", accuracy=0.1)  # its gate wants 0.5
    assert commands() == []
    start(registry, "2" * 8, "samples_forest")
    publish(registry, "2" * 8, "samples_forest", "v1-00000002", accuracy=0.9)
    assert commands() == ["mlops model promote samples_forest@v1-00000002"]
    registry.promote(registry.model_versions("samples_forest")[-1], [])
    assert commands() == []
    assert "nothing is running or pending" in mlops("status").out
    failed = failed_rule("v1-00000002", "2026-11-02", model="samples_forest")
    alarm = registry.raise_alarm(failed)
    assert commands() == [f"mlops alarm show {alarm.id}"]
    registry.close_alarm(alarm, "2026-11-03")
    assert commands() == []


def test_a_version_waits_for_approval_then_for_promotion_unless_it_is_rejected_or_deprecated(
    registry: Registry, project: Path, mlops: Mlops
) -> None:
    declared = project / "fieldwork" / "defs" / "samples" / "defs.yaml"
    declared.write_text(f"{declared.read_text()}  approval: {{required: true}}\n")

    def commands() -> list[str]:
        return [each["command"] for each in mlops("status", "--json").json["waiting"]]

    for number in ("1", "2"):
        start(registry, number * 8, "samples_forest")
        publish(registry, number * 8, "samples_forest", f"v1-0000000{number}", accuracy=0.9)
    first, second = registry.model_versions("samples_forest")
    assert commands() == ["mlops model approve samples_forest@v1-00000002 --reason …"]
    registry.decide(second, "rejected", "clouds", {})
    assert commands() == []
    registry.decide(second, "deprecated", "clouds", {})
    assert commands() == ["mlops model approve samples_forest@v1-00000001 --reason …"]
    registry.decide(first, "approved", "good", {})
    assert commands() == ["mlops model promote samples_forest@v1-00000001"]


def test_a_landing_that_has_changed_waits_for_a_commit(
    registry: Registry, project: Path, mlops: Mlops
) -> None:
    (project / "workspace" / "landing" / "samples" / "more.csv").write_text("a\n1\n")
    waiting = mlops("status", "--json").json["waiting"]
    assert [each["command"] for each in waiting if each["what"] == "data"] == [
        "mlops dataset commit samples"
    ]
    assert "has changed since samples@v1" in waiting[0]["detail"]
