from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.principals import local
from mlops_assets.registry import Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import (
    crops_table,
    scenes_specification,
    table_specification,
    write_scene,
)
from mlops_assets_tests.hub.serving import TOKEN, hub
from mlops_assets_tests.training.example_trainers import HERE, lifecycle, model_specification


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two versions of a table and of a model on it, and a network on scenes with a place."""
    root = tmp_path_factory.mktemp("discovery") / "workspace"
    store = Store(
        Workspace(root.as_uri()),
        Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester")),
    )
    (root / "landing/fields").mkdir(parents=True)
    for number in (1, 2):
        crops_table(200 + number).to_csv(root / "landing/fields/samples.csv", index=False)
        commit(store.workspace, store.registry, table_specification())
        lifecycle(store, model_specification(), f"v{number}", recorded=True)
    write_scene(root / "landing/scenes", "a", crs="EPSG:32630")
    commit(store.workspace, store.registry, scenes_specification())
    cover = model_specification("cover", dataset="scenes", trainer=f"{HERE}:network")
    lifecycle(store, cover, recorded=True)
    return store


@pytest.fixture(scope="module")
def api(recorded: Store) -> Iterator[str]:
    """The URL of the STAC API of that workspace."""
    with hub(recorded) as url:
        yield f"{url}/stac"


@pytest.fixture
def client(api: str) -> Iterator[httpx.Client]:
    """A caller with a token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    # a machine under load may take longer than the 5 s of httpx
    with httpx.Client(base_url=f"{api}/", headers=headers, timeout=60) as found:
        yield found
