"""The example declarations train as written, on the landings that docs/layouts.md makes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
import yaml

import mlops_assets.components.examples
from mlops_assets.components.examples import ExampleName
from mlops_assets_tests import interpreter
from mlops_assets_tests.conftest import require_shared_data

DOCS = Path(__file__).parents[2] / "docs"
FILES = Path(mlops_assets.components.examples.__file__).parent


def test_the_docs_show_the_example_files() -> None:
    shown = (DOCS / "layouts.md").read_text().split("```yaml\n")[1:]
    files = [(FILES / f"{name}.yaml").read_text() for name in get_args(ExampleName)]
    assert [block.partition("```")[0] for block in shown] == files
    assert len(list(FILES.glob("*.yaml"))) >= len(files)


@pytest.fixture(scope="module")
def landings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The landings of the examples, made by the script beside the page."""
    scene = require_shared_data("nc_landsat7")
    folder = tmp_path_factory.mktemp("landings")
    script = str(DOCS / "example_landings.py")
    subprocess.run([sys.executable, script, str(scene), str(folder)], check=True, timeout=120)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", get_args(ExampleName))
def test_an_example_commits_trains_and_passes_its_gate(
    name: str, landings: Path, tmp_path: Path
) -> None:
    dataset, model = (
        document["attributes"]
        for document in yaml.safe_load_all((FILES / f"{name}.yaml").read_text())
    )
    root = tmp_path / "fieldwork"
    interpreter.run(["mlops", "init", str(root)], tmp_path)
    shutil.copytree(landings / dataset["name"], root / "workspace" / "landing" / dataset["name"])
    declared = root / "fieldwork" / "defs" / name / "defs.yaml"
    declared.parent.mkdir()
    shutil.copy(FILES / f"{name}.yaml", declared)
    for command in (
        ["dataset", "commit", dataset["name"]],
        ["train", model["name"]],
        ["model", "promote", model["name"]],
    ):
        done = interpreter.run(["mlops", *command], root)
        assert done.returncode == 0, done.stdout + done.stderr
