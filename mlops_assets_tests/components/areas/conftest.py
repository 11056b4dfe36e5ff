from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.components.areas.project import MODEL, promoted
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.training.example_trainers import lifecycle


def _open(root: Path) -> Store:
    return Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )


@pytest.fixture(scope="session")
def _trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("area") / "workspace"
    store = _open(root)
    write_scene(root / "landing/scenes", crs="EPSG:32632")
    commit(store.workspace, store.registry, scenes_specification())
    promoted(store, lifecycle(store, MODEL, recorded=True))
    store.registry.close()
    return root


@pytest.fixture
def store(tmp_path: Path, _trained: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """A workspace with a model `land` in production, which the environment names."""
    root = tmp_path / "workspace"
    shutil.copytree(_trained, root)
    monkeypatch.setenv("MLOPS_WORKSPACE", root.as_uri())
    opened = _open(root)
    yield opened
    opened.registry.close()
