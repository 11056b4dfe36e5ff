"""Chains from a map to its scenes and to the data of its model, and from those to the map."""

from __future__ import annotations

import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlops_assets.errors import NotFound
from mlops_assets.lineage.files import file_lineage
from mlops_assets.lineage.made_from import made_from
from mlops_assets.lineage.maps import find_map
from mlops_assets.names import Reference
from mlops_assets.prediction.maps.publish import publish_map
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import ModelVersion
from mlops_assets.storage import sha256_of
from mlops_assets.store import Store
from mlops_assets_tests.cli.conftest import Mlops, mlops
from mlops_assets_tests.prediction.maps.made import ITEM, area_map, made_map
from mlops_assets_tests.prediction.maps.test_publish import published, row
from mlops_assets_tests.processing.test_lineage import open_store

__all__ = ["mlops", "published", "row"]


@pytest.fixture
def store(published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A workspace with a recorded model version of crops."""
    root = Path(shutil.copytree(published, tmp_path / "workspace"))
    monkeypatch.setenv("MLOPS_WORKSPACE", str(root))
    return open_store(root)


def test_a_copy_of_a_map_leads_to_its_scenes_and_a_scene_to_its_maps(
    store: Store, row: ModelVersion, tmp_path: Path, mlops: Mlops
) -> None:
    made = area_map(tmp_path, row)
    publish_map(store, made)
    publish_map(store, made_map(tmp_path / "other", row, value=7))
    store.registry.decide(row, "deprecated", "a better one", {})
    copy = shutil.copy(made.files[".scores.tif"], tmp_path / "sent.tif")
    found = mlops("lineage", "--file", str(copy), "--json").json
    (own,) = found["maps"]
    assert (own["name"], own["model"], own["deprecated"]) == (
        "valley/2026-05-01",
        f"crops@{row.version}",
        "a better one",
    )
    assert (own["run_id"], own["data"]) == (row.run_id, f"fields@{row.data_version}")
    assert [file["sha256"][0] for scene in own["scenes"] for file in scene["files"]] == [*"9abc"]
    assert found["sha256"] in own["files"].values()
    shown = mlops("lineage", "--file", str(copy)).out
    assert "S2_T33" in shown and "https://eo.example/B08.tif?sig=***" in shown
    # a scene that no data version has: of the area alone, of both
    for file, expected in (
        (ITEM.files[1].sha256, ["valley/2026-05-01"]),
        ("9" * 64, ["scene", "valley/2026-05-01"]),
    ):
        assert sorted(each.name for each in file_lineage(store, file).maps) == expected
    with pytest.raises(NotFound):
        file_lineage(store, "f" * 64)


def test_maps_are_found_from_data_and_model_and_hidden_with_it(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    made = publish_map(store, area_map(tmp_path, row))
    data = store.registry.data_version(Reference("fields", row.data_version))
    maps = [each for each in made_from(store.registry, data) if each.kind == "map"]
    assert [(each.reference, each.created) for each in maps] == [
        (f"predictions/crops/{row.version}/valley/2026-05-01.tif", made.created)
    ]
    store.registry.set_visibility(row, Visibility.PRIVATE)
    bob = store.acting(Principal("bob", frozenset({Role.VIEWER})))
    with pytest.raises(NotFound):
        file_lineage(bob, "a" * 64)
    with pytest.raises(NotFound, match="there is no map 'valley/2026-05-01'; see 'mlops map list'"):
        find_map(bob, "valley/2026-05-01")


def test_the_commands_list_and_show_maps_and_draw_their_chain(
    store: Store, row: ModelVersion, tmp_path: Path, mlops: Mlops
) -> None:
    assert "no map yet" in mlops("map", "list").out
    for day in (1, 2):
        publish_map(store, area_map(tmp_path / str(day), row, day))
    made = publish_map(store, made_map(tmp_path / "other", row))
    listed = mlops("map", "list", "crops", "--area", "valley", "--json").json
    assert [each["day"] for each in listed] == ["2026-05-02", "2026-05-01"]
    (second,) = mlops("map", "list", "--limit", "1", "--skip", "1", "--json").json
    assert second["name"] == "valley/2026-05-02"
    assert [each["outside"] for each in mlops("map", "list", "--json").json] == [None, 0.25, 0.25]
    shown = mlops("map", "show", made.item, "--json").json
    assert datetime.fromisoformat(shown["created"]) == made.created.astimezone(UTC)
    key = f"predictions/crops/{row.version}/scene.tif"
    assert shown["files"][key] == sha256_of(store.workspace.root / key)
    assert "S2_T32" in mlops("map", "show", "scene", "--model", "crops").out
    assert "there is no map 'elsewhere'" in mlops("map", "show", "elsewhere").err
    drawn = mlops("map", "lineage", "valley/2026-05-01").out
    edges = set(re.findall(r"(\w+) --> (\w+)", drawn))
    assert {("map0", "model"), ("map0", "scene0"), ("map0", "scene1"), ("run", "data0")} <= edges
    assert "map1" not in drawn and "B08 cccccccccccc" in drawn
    chain = mlops("map", "lineage", "scene", "--json").json
    assert chain["chain"]["data"][0]["files"][0]["sha256"]
    model = mlops("model", "lineage", "crops")
    assert "map2 --> model" in model.out
