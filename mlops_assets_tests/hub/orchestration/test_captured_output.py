"""Output of steps as Dagster has captured it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.errors import OrchestratorUnavailable
from mlops_assets.hub.orchestration import captured_output
from mlops_assets.hub.orchestration.captured_output import CapturedOutput


@dg.asset(key=["crops", "trained_model"])
def trained_model() -> None:
    """Print."""
    os.write(sys.stderr.fileno(), b"epoch 1\nepoch 2\n")


def test_what_a_step_has_printed_is_read_from_any_byte(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = dg.materialize([trained_model], instance=instance)
    output = CapturedOutput(home)
    whole, end = output.read(run.run_id, "crops__trained_model", 0, 10_000)
    assert b"epoch 1\nepoch 2\n" in whole and end == len(whole)
    assert output.read(run.run_id, "crops__trained_model", end - 8, 10_000)[1] == end
    assert output.read(run.run_id, "crops__trained_model", 0, 100) == (whole[-100:], end)
    assert output.read("00000000-0000-4000-8000-000000000000", "a", 3, 100) == (b"", 3)
    captured_output._instance.cache_clear()


def test_a_storage_that_cannot_be_read_is_a_problem(tmp_path: Path) -> None:
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        run = dg.materialize([trained_model], instance=instance)
    events = next(home.rglob(f"{run.run_id}.db"))
    events.write_bytes(b"garbage" * 1000)
    for left in events.parent.glob(f"{run.run_id}.db-*"):
        left.unlink()
    with pytest.raises(OrchestratorUnavailable, match="captured cannot be read"):
        CapturedOutput(home).read(run.run_id, "crops__trained_model", 0, 10)
    captured_output._instance.cache_clear()
