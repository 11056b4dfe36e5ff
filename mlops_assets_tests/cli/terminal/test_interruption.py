"""Ctrl-C, closed pipes and terminals that cannot show every character."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from mlops_assets.cli.terminal.interruption import interruptible
from mlops_assets.errors import StorageError
from mlops_assets.registry import open_registry
from mlops_assets.settings import Settings
from mlops_assets_tests.cli.conftest import Mlops

COMMAND = [
    sys.executable,
    "-c",
    "import sys; sys.argv[0] = 'mlops'; from mlops_assets.cli import main; main()",
]
TRAINER = """
import time

from pydantic import BaseModel


class Params(BaseModel):
    epochs: int = 1000


def train(data, params: Params, run):
    for epoch in range(params.epochs):
        run.log({"train_loss": 1.0 / (epoch + 1)}, step=epoch)
        run.checkpoint({"epoch": epoch}, epoch)
        time.sleep(0.1)
"""


def test_an_interrupt_is_one_line_and_code_130(capsys: pytest.CaptureFixture[str]) -> None:
    with (
        pytest.raises(typer.Exit) as ended,
        interruptible(lambda: "3 files are kept; to continue: mlops x"),
    ):
        raise KeyboardInterrupt
    assert ended.value.exit_code == 130
    assert capsys.readouterr().err == "interrupted: 3 files are kept; to continue: mlops x\n"


def test_an_interrupt_while_the_registry_is_unreachable_reports_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def kept() -> str:
        raise StorageError("registry is unreachable")

    with pytest.raises(typer.Exit), interruptible(kept):
        raise KeyboardInterrupt
    assert "registry is unreachable" in capsys.readouterr().err


@pytest.mark.slow
def test_an_interrupted_training_names_the_command_that_resumes_it(
    project: Path, mlops: Mlops
) -> None:
    (project / "fieldwork" / "own.py").write_text(TRAINER)
    declared = project / "fieldwork" / "defs" / "samples" / "defs.yaml"
    text = declared.read_text().replace(
        "mlops_assets.training.trainers.sklearn:train", "fieldwork.own:train"
    )
    declared.write_text("".join(line + "\n" for line in text.splitlines() if "params:" not in line))
    assert mlops("dataset", "commit", "samples", "-q").code == 0
    registry = open_registry(Settings.from_environment().registry)
    with subprocess.Popen(
        [*COMMAND, "train", "samples_forest"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        while not any(registry.checkpoints(run.run_id) for run in registry.runs()):
            assert process.poll() is None
            time.sleep(0.2)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        _, err = process.communicate(timeout=120)
    (run,) = registry.runs()
    assert process.returncode == 130, err
    assert f"is kept; to continue: mlops run resume {run.run_id[:8]}\n" in err
    assert "Traceback" not in err and run.status == "canceled"
    (failed,) = mlops("status", "--json").json["failed"]
    assert failed["command"] == f"mlops run resume {run.run_id[:8]}"


def test_a_reader_that_has_read_enough_is_no_error(project: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    ended = subprocess.run(
        [*COMMAND, "run", "list", "--json"], stdout=writing, stderr=subprocess.PIPE, text=True
    )
    os.close(writing)
    assert (ended.returncode in (0, 1), ended.stderr) == (True, "")


def test_a_terminal_without_unicode_prints_escapes(project: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    ended = subprocess.run([*COMMAND, "status"], capture_output=True, text=True, env=environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "\\u2192 mlops dataset commit samples" in ended.stdout
