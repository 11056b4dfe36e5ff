from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.store import Store
from mlops_assets_tests.components.areas.project import open_workspace, trained_workspace


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained_workspace(tmp_path_factory.mktemp("area") / "workspace")


@pytest.fixture
def store(tmp_path: Path, _trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A workspace with a model `land` in production, which the environment names."""
    root = tmp_path / "workspace"
    shutil.copytree(_trained, root)
    monkeypatch.setenv("MLOPS_WORKSPACE", root.as_uri())
    opened = open_workspace(root)
    yield opened
    opened.registry.close()
