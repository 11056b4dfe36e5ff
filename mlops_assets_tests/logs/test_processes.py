"""Processes that log JSON: a hub, a run of Dagster, and the process of a training."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from mlops_assets_tests import interpreter

# real processes, as what is logged depends on what libraries set up when they are imported
_RUN = """
    import logging, os, sys, warnings
    import dagster as dg
    from mlops_assets.components.project.dagster_logs import log_as_configured
    from resources import StoreResource

    @dg.asset(key=["crops", "trained_model"])
    def trained_model(context: dg.AssetExecutionContext, store: StoreResource):
        context.log.warning("of the run")
        logging.getLogger("mlops_assets.training").info("of the core: password=%s", "pa55-word")
        raise ValueError("no token=abcdefgh12345")

    log_as_configured()
    dg.materialize(
        [trained_model],
        instance=dg.DagsterInstance.ephemeral(),
        resources={"store": StoreResource()},
        tags={"mlops/model": "crops"},
        raise_on_error=False,
    )
"""


def lines_of(text: str) -> list[dict[str, Any]]:
    """The objects of a log, of which each line must be one."""
    return [json.loads(line) for line in text.splitlines()]


def test_a_run_of_dagster_logs_json_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLOPS_LOG_FORMAT", "json")
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path / "workspace"))
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_RUN)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    found = lines_of(done.stderr)
    (own,) = [line for line in found if line["message"].endswith("of the run")]
    (core,) = [line for line in found if line["logger"] == "mlops_assets.training"]
    assert own["orchestration_run"] == core["orchestration_run"]
    assert own["step"] == "crops__trained_model"
    assert core["model"] == "crops"
    assert core["message"] == "of the core: password=***"
    assert "pa55-word" not in done.stderr and "abcdefgh12345" not in done.stderr
    assert any("STEP_FAILURE" in line["message"] for line in found)


def test_text_is_the_default_of_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLOPS_LOG_FORMAT", raising=False)
    monkeypatch.setenv("MLOPS_WORKSPACE", str(tmp_path / "workspace"))
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(_RUN)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=250, check=False)
    assert " - dagster - " in done.stderr
    assert not any(line.startswith("{") for line in done.stderr.splitlines())


def test_a_command_that_serves_ends_with_a_line_of_json(tmp_path: Path) -> None:
    environment = {
        "MLOPS_LOG_FORMAT": "json",
        "MLOPS_WORKSPACE": str(tmp_path / "workspace"),
        "PATH": "/usr/bin:/bin",
    }
    done = interpreter.run(["mlops", "serve", "crops"], tmp_path, env=environment)
    assert done.returncode == 1
    (line,) = lines_of(done.stderr)
    assert (line["level"], line["logger"]) == ("CRITICAL", "mlops")
    assert "crops" in line["message"]
