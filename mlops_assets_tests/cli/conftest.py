"""The command `mlops` in a project made by `mlops init`, as fixtures."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.cli import main
from mlops_assets_tests import interpreter


@dataclass
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


Mlops = Callable[..., Outcome]


@pytest.fixture
def mlops(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Mlops:
    """Run `mlops …` in this process: its exit code and what it printed."""

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["mlops", *arguments])
        capsys.readouterr()
        try:
            main()
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
        captured = capsys.readouterr()
        return Outcome(code, captured.out, captured.err)

    return run


@pytest.fixture
def project(tmp_path: Path, mlops: Mlops, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project made by `mlops init`, and the current directory."""
    root = tmp_path / "fieldwork"
    assert mlops("init", str(root)).code == 0
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(str(root))
    yield root
    for name in [name for name in sys.modules if name.split(".")[0] == "fieldwork"]:
        del sys.modules[name]


@pytest.fixture(scope="session")
def _committed_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of a new project with v1 of its dataset, whose quality is assessed.

    What takes long in training.
    """
    root = tmp_path_factory.mktemp("committed") / "fieldwork"
    ours = ("MLOPS_", "DAGSTER_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    for command, directory in (
        (["init", str(root)], root.parent),
        (["dataset", "commit", "samples"], root),
    ):
        done = interpreter.run(
            ["mlops", *command], directory, environment | {"MLOPS_USER": "tester"}
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return root / "workspace"


@pytest.fixture
def committed(project: Path, _committed_workspace: Path) -> Path:
    """A project as `project`, with v1 of its dataset."""
    shutil.copytree(_committed_workspace, project / "workspace", dirs_exist_ok=True)
    return project
