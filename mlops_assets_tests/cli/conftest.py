"""The command `mlops` in a project made by `mlops init`, as fixtures."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.cli import main


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
