"""A map's document, row, files, model version and Item agree, or each difference is named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mlops_assets.models.verify import verify_all, verify_model
from mlops_assets.paths import map_document_key, map_key, owner_of
from mlops_assets.prediction.maps.publish import publish_map
from mlops_assets.registry import Map, ModelVersion, Registry
from mlops_assets.registry.files.publication import publication
from mlops_assets.reindex.reindex import reindex
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.prediction.maps.made import area_map, made_map
from mlops_assets_tests.prediction.maps.test_publish import published, row, store

__all__ = ["published", "row", "store"]

Json = dict[str, Any]


def rewrite(store: Store, key: str, change: Callable[[Json], object]) -> None:
    """Publish a changed document under its key, with its checksum: no byte is wrong."""
    document = json.loads(store.workspace.get(key))
    change(document)
    _publish(store, key, json.dumps(document).encode())


def _publish(store: Store, key: str, content: bytes) -> None:
    owner = owner_of(key)
    assert owner is not None
    with publication(store.workspace, store.registry) as publishing:
        publishing.put(key, content)
        store.registry.add_files(owner, publishing.files)


def _document(change: Callable[[Json], object]) -> Callable[[Store, Map], None]:
    return lambda store, found: rewrite(
        store, map_document_key(found.model, found.version, found.name), change
    )


def _item(change: Callable[[Json], object]) -> Callable[[Store, Map], None]:
    key = "catalog/maps/{0.collection}/{0.model}/{0.version}/{0.item}.json"
    return lambda store, found: rewrite(store, key.format(found), change)


def _raster(store: Store, found: Map) -> None:
    _publish(store, map_key(found.model, found.version, found.name, ".tif"), b"other pixels")


def _source(document: Json) -> None:
    document["scenes"][0]["files"][0]["sha256"] = "f" * 64


CHANGES: dict[str, tuple[Callable[[Store, Map], None], str]] = {
    "pixels": (_raster, "another checksum of predictions/"),
    "user": (_document(lambda own: own.update(created_by="eve")), "created_by 'tester', its doc"),
    "scene": (_document(_source), "its input digest is not that of the scenes"),
    "settings": (_document(lambda own: own.update(settings={})), "its input digest is not that"),
    "files": (_document(lambda own: own["files"].pop(".png")), "its digest is not that of the fi"),
    "network": (
        _document(lambda own: own.update(model_sha256="0" * 64)),
        "it was made by another model.onnx",
    ),
    "link": (
        _item(lambda own: own["links"].pop()),
        "its record has other scenes than its document",
    ),
    "asset": (
        _item(lambda own: own["assets"].pop("scores")),
        "its record has another checksum of its asset scores",
    ),
    "share": (
        _item(lambda own: own["properties"].update({"mlops:outside": 0.0})),
        "its record has another outside than its document",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_does_not_agree_is_named(
    change: str, store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    found = publish_map(store, area_map(tmp_path, row))
    assert verify_model(store, row).problems == []
    alter, expected = CHANGES[change]
    alter(store, found)
    for verified in (verify_model(store, row), verify_all(store)):
        assert any(expected in problem for problem in verified.problems), verified.problems


def test_every_file_of_a_map_is_read_again(store: Store, row: ModelVersion, tmp_path: Path) -> None:
    found = publish_map(store, area_map(tmp_path, row))
    keys = [
        key
        for key in store.workspace.list("")
        if key.startswith(f"predictions/crops/{row.version}/{found.name}")
        or key.startswith("catalog/maps/")
    ]
    assert len(keys) == 7  # two rasters, class names, picture, document, Item, Collection
    for key in keys:
        path = store.workspace.root / key
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        problems = verify_model(store, row).problems
        assert any(problem.startswith(f"{key}: its bytes") for problem in problems), key
        path.write_bytes(content)
    assert verify_model(store, row).problems == []


@pytest.mark.parametrize("log", [True, False], ids=["from the log", "from documents"])
def test_a_lost_registry_has_its_maps_again(
    log: bool, store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    publish_map(store, area_map(tmp_path, row))
    publish_map(store, made_map(tmp_path, row))
    expected = [_columns(each) for each in store.registry.maps()]
    if not log:
        shutil.rmtree(store.workspace.root / "log")
    url = f"sqlite:///{tmp_path / 'rebuilt.db'}"
    reindex(Workspace(store.workspace.url), url, store.registry.principal)
    rebuilt = Store(store.workspace, Registry(url).acting(store.registry.principal))
    assert [_columns(each) for each in rebuilt.registry.maps()] == expected
    assert len(rebuilt.registry.maps_with("a" * 64)) == 2
    (again,) = rebuilt.registry.model_versions("crops")
    assert [line for line in verify_model(rebuilt, again).problems if "map" in line] == []
    rebuilt.registry.close()


def _columns(found: Map) -> Json:
    return {column.name: getattr(found, column.name) for column in Map.__table__.columns}
