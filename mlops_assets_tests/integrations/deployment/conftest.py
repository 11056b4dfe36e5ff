from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.store import Store
from mlops_assets_tests.components.areas.project import open_workspace
from mlops_assets_tests.integrations.deployment.service import twice_promoted


@pytest.fixture(scope="session")
def _promoted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return twice_promoted(tmp_path_factory.mktemp("deployed") / "workspace")


@pytest.fixture
def store(tmp_path: Path, _promoted: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A workspace with two versions of `land`, the newer one in production."""
    root = tmp_path / "workspace"
    shutil.copytree(_promoted, root)
    monkeypatch.setenv("MLOPS_WORKSPACE", root.as_uri())
    opened = open_workspace(root)
    yield opened
    opened.registry.close()
