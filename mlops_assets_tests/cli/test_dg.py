"""Dagster's own command line sees our components, and scaffolds declarations that are filled in."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from mlops_assets.cli import app

BIN = Path(sys.executable).parent


@pytest.fixture
def project(tmp_path: Path) -> Path:
    assert CliRunner().invoke(app, ["init", str(tmp_path / "fieldwork")]).exit_code == 0
    return tmp_path / "fieldwork"


def dg(project: Path, *arguments: str) -> str:
    return script("dg", project, *arguments)


def script(name: str, project: Path, *arguments: str) -> str:
    """Run the script itself, as it looks up the project's Python and its packages' entry points."""
    environment = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
    command = [str(BIN / name), *arguments]
    done = subprocess.run(
        command,
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_dg_lists_our_components_and_scaffolds_what_passes_its_check(project: Path) -> None:
    listed = dg(project, "list", "components", "--json")
    assert "mlops_assets.components.TrainingDataset" in listed
    assert "mlops_assets.components.TrainedModel" in listed
    kind = "mlops_assets.components"
    layout = ("--layout", "scenes_polygons")
    dg(project, "scaffold", "defs", f"{kind}.TrainingDataset", "meadow", *layout)
    dg(project, "scaffold", "defs", f"{kind}.TrainedModel", "grass", *layout, "--dataset", "meadow")
    defs = project / "fieldwork" / "defs"
    dataset, model = (
        yaml.safe_load((defs / name / "defs.yaml").read_text())["attributes"]
        for name in ("meadow", "grass")
    )
    assert (dataset["name"], dataset["source"]["url"]) == ("meadow", "landing/meadow")
    assert dataset["source"]["scenes"]["labels"].endswith(".shp")
    assert (model["name"], model["dataset"], model["inputs"]) == ("grass", "meadow", "patch")
    dg(project, "check", "yaml")
    dg(project, "check", "defs")


@pytest.mark.slow
def test_dagster_loads_a_project_by_its_workspace_file(project: Path) -> None:
    script("dagster", project, "definitions", "validate", "-w", "workspace.yaml")
