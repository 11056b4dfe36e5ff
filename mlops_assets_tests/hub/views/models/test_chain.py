"""The chain behind a version, and the part that a damage is shown at."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.hub.views.models.maps import applicability_picture, maps_of
from mlops_assets.hub.views.models.version.chain import version_chain
from mlops_assets.hub.views.models.version.verification import verify_chain
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role, Visibility, local
from mlops_assets.registry import Deployment, Registry
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.prediction.jobs import map_scene
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

COVER = Reference("cover")


def open_store(root: Path) -> Store:
    # first the workspace: it makes the folder of the registry
    workspace = Workspace(root.as_uri())
    registry = Registry(f"sqlite:///{root / 'registry.db'}")
    return Store(workspace, registry.acting(local("tester")))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with a data version, a recorded model version, its map and its deployment."""
    root = tmp_path_factory.mktemp("published") / "workspace"
    store = open_store(root)
    write_scene(root / "landing/scenes", crs="EPSG:32630")
    commit(store.workspace, store.registry, scenes_specification())
    row = lifecycle(store, model_specification("cover", dataset="scenes"), recorded=True)
    map_scene(store, row, root / "landing/scenes/images/a.tif", "a")
    onnx = root / f"models/cover/{row.version}/model.onnx"
    store.registry.record_deployment(
        Deployment(
            service="fields",
            model="cover",
            version=row.version,
            engine="embedded",
            action="deployed",
            sha256=store.workspace.stat(str(onnx.relative_to(root))).sha256,
            details={},
        )
    )
    store.registry._engine.dispose()
    return root


@pytest.fixture
def copied(published: Path, tmp_path: Path) -> Store:
    """A copy of that workspace, to do harm to."""
    return open_store(Path(shutil.copytree(published, tmp_path / "copied")))


def test_each_part_comes_from_the_one_before(copied: Store) -> None:
    chain = version_chain(copied, COVER)
    before = {node.id: node.made_from for node in chain.nodes}
    assert before == {
        "data scenes@v1": [],
        "run": ["data scenes@v1"],
        "code": ["run"],
        "model": ["code"],
        "record": ["model"],
        "deployment0": ["record"],
        "map0": ["record"],
    }
    assert {node.state for node in chain.nodes} == {"not checked"}
    assert all(node.page is not None for node in chain.nodes)


def test_an_intact_chain_is_verified(copied: Store) -> None:
    chain = verify_chain(copied, COVER)
    assert {node.id: node.problems for node in chain.nodes if node.state != "verified"} == {}
    assert chain.verified is not None and chain.files > 10


@pytest.mark.parametrize(
    ("pattern", "broken"),
    [
        ("objects/sha256/*/*", {"data scenes@v1", "code"}),
        # without these the files of the data cannot be listed
        ("datasets/scenes/v1/manifest.parquet", {"data scenes@v1"}),
        ("datasets/scenes/v1/version.json", {"data scenes@v1"}),
        ("catalog/datasets/scenes/v1/collection.json", {"data scenes@v1"}),
        ("runs/*/points.parquet", {"run"}),
        ("models/cover/*/model.onnx", {"model"}),
        ("models/cover/*/figures/*.png", {"model"}),
        ("catalog/models/cover/*/*.json", {"record"}),
        ("predictions/cover/*/a.tif", {"map0"}),
        ("catalog/catalog.json", {"registry"}),
        ("log/0000000003.json", {"registry"}),
    ],
)
def test_a_damage_is_shown_at_its_part_with_its_file(
    pattern: str, broken: set[str], copied: Store
) -> None:
    root = copied.workspace.root
    paths = sorted(root.glob(pattern))
    assert paths, sorted(str(path.relative_to(root)) for path in root.rglob("*"))
    for path in paths:
        path.chmod(0o644)
        path.write_bytes(path.read_bytes() + b" ")
    found = {node.id: node.problems for node in verify_chain(copied, COVER).nodes if node.problems}
    assert set(found) == broken
    listed = "\n".join(line for lines in found.values() for line in lines)
    for path in paths:
        assert path.name in listed


def test_a_row_changed_by_hand_breaks_the_model(copied: Store) -> None:
    with sqlite3.connect(copied.workspace.root / "registry.db") as database:
        database.execute("""update model_versions set metrics = '{"accuracy": 1.0}'""")
    database.close()
    broken = {n.id for n in verify_chain(copied, COVER).nodes if n.state == "broken"}
    assert "model" in broken


def test_a_service_with_another_file_is_broken(copied: Store) -> None:
    row = copied.registry.model_version(COVER)
    copied.registry.record_deployment(
        Deployment(
            service="fields",
            model="cover",
            version=row.version,
            engine="embedded",
            action="deployed",
            sha256="f" * 64,
            details={},
        )
    )
    newest, former = [n for n in verify_chain(copied, COVER).nodes if n.kind == "deployment"]
    assert newest.state == "broken" and "deploy it again" in newest.problems[0]
    assert former.state == "verified"


def test_hidden_data_are_named_and_not_read(copied: Store) -> None:
    data = copied.registry.data_version(Reference("scenes"))
    copied.registry.set_visibility(data, Visibility.PRIVATE)
    viewer = copied.acting(Principal("vic", frozenset({Role.VIEWER})))
    states = {node.id: node.state for node in verify_chain(viewer, COVER).nodes}
    assert states["data scenes@v1"] == states["run"] == "hidden"
    assert "code" not in states and states["model"] == "verified"


def test_a_map_has_a_picture_of_where_it_is_applicable(copied: Store) -> None:
    (found,) = maps_of(copied, "cover")
    assert found.picture is not None and set(found.files) >= {".png", ".tif", ".map.json"}
    if found.has_applicability:
        assert applicability_picture(copied, COVER, "a").startswith(b"\x89PNG")
