from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.quality.assessment import assess
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table, table_specification


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance of the test's own."""
    (tmp_path / "dagster").mkdir()
    with dg.instance_for_test(temp_dir=str(tmp_path / "dagster")) as made:
        yield made


def _store(root: Path) -> Store:
    return Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )


@pytest.fixture(scope="session")
def _assessed_workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("assessed") / "workspace"
    store, specification = _store(root), table_specification()
    folder = root / specification.source.url
    folder.mkdir(parents=True)
    crops_table().to_csv(folder / "samples.csv", index=False)
    commit(store.workspace, store.registry, specification)
    assess(
        store.registry,
        CommittedDataset.open(store.workspace, store.registry, Reference("fields", "v1")),
    )
    store.registry.close()
    return root


@pytest.fixture
def assessed(tmp_path: Path, _assessed_workspace: Path) -> Store:
    """A workspace with `fields`, v1, whose quality is assessed.

    That takes longer than the rest of a lifecycle.
    """
    shutil.copytree(_assessed_workspace, tmp_path / "workspace")
    return _store(tmp_path / "workspace")
