from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.store import Store
from mlops_assets_tests.monitoring.served_days import open_workspace, served_workspace


@pytest.fixture(scope="session")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return served_workspace(tmp_path_factory.mktemp("served") / "workspace")


@pytest.fixture
def served_store(tmp_path: Path, _served: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A workspace with two versions of a model `crops`, which the environment names."""
    root = tmp_path / "workspace"
    shutil.copytree(_served, root)
    monkeypatch.setenv("MLOPS_WORKSPACE", root.as_uri())
    opened = open_workspace(root)
    yield opened
    opened.registry.close()
