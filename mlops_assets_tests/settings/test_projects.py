"""Which project commands work on."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.settings import DEFAULT_MODULE, project_module


def test_an_image_names_its_project_by_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project_module(tmp_path) == DEFAULT_MODULE
    (tmp_path / "pyproject.toml").write_text('[tool.dg.project]\nroot_module = "of_the_folder"\n')
    assert project_module(tmp_path) == "of_the_folder.definitions"
    monkeypatch.setenv("MLOPS_MODULE", "of_the_image.definitions")
    assert project_module(tmp_path) == "of_the_image.definitions"
