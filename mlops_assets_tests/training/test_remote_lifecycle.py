"""The life of a model on a workspace in a bucket.

Nothing but the cache and the registry is on this machine.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.models.promotion import promote
from mlops_assets.models.verify import verify_all
from mlops_assets.names import Reference
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

pytestmark = pytest.mark.services


@pytest.mark.parametrize("trainer", ["tree", "network"])
def test_a_model_lives_in_a_bucket(bucket: Bucket, tmp_path: Path, trainer: str) -> None:
    workspace = Workspace(bucket.url, tmp_path / "cache")
    store = Store(
        workspace, Registry(f"sqlite:///{tmp_path / 'registry.db'}").acting(local("tester"))
    )
    write_scene(tmp_path / "landed")
    for path in (tmp_path / "landed").rglob("*.tif"):
        bucket.put(f"landing/scenes/{path.relative_to(tmp_path / 'landed').as_posix()}", path)
    commit(store.workspace, store.registry, scenes_specification())
    specification = model_specification(
        "cover", dataset="scenes", trainer=f"mlops_assets_tests.training.example_trainers:{trainer}"
    )
    row = lifecycle(store, specification, recorded=True)
    promote(store, row, specification.gates)
    map_scene(store, row, tmp_path / "landed/images/a.tif", "a")
    found = verify_all(store)
    assert found.passed, found.problems
    assert store.registry.model_version(Reference("cover", "production")).version == row.version
    kinds = {path.split("/")[0] for path in store.workspace.list("")}
    assert kinds == {
        "landing",
        "objects",
        "datasets",
        "models",
        "runs",
        "catalog",
        "predictions",
        "log",
    }
