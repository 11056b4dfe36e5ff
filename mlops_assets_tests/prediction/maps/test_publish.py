"""Published maps: replaced whole, recorded as STAC Items, as visible as their model version."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from pystac.validation import validate_dict
from rasterio import Affine

from mlops_assets.errors import Conflict, NotFound
from mlops_assets.models.record import record_version
from mlops_assets.models.verify import verify_model
from mlops_assets.names import Reference
from mlops_assets.paths import map_key, prediction_owner
from mlops_assets.prediction.maps.made import SkippedScene
from mlops_assets.prediction.maps.publish import publish_map
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import Map, ModelVersion
from mlops_assets.registry.files.publication import publication
from mlops_assets.registry.records.lookup import find_collection, find_item
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.stac.catalog import CLASSIFICATION
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.store import Store
from mlops_assets_tests.prediction.maps.made import PLAIN, UTM, area_map, made_map
from mlops_assets_tests.processing.test_lineage import open_store
from mlops_assets_tests.stac.extension_schemas import uris, validator
from mlops_assets_tests.stac.test_visibility import consistent, published
from mlops_assets_tests.training.example_trainers import lifecycle, model_specification

__all__ = ["published"]

VIEWER = Principal("bob", frozenset({Role.VIEWER}))


@pytest.fixture
def store(published: Path, tmp_path: Path) -> Store:
    """A workspace with a recorded model version of crops."""
    return open_store(Path(shutil.copytree(published, tmp_path / "workspace")))


@pytest.fixture
def row(store: Store) -> ModelVersion:
    return store.registry.model_version(Reference("crops"))


def item_of(store: Store, found: Map, principal: Principal | None = None) -> dict[str, Any]:
    """Return the Item of a map as the STAC API finds it."""
    registry = store.registry if principal is None else store.registry.acting(principal)
    record = find_item(registry, found.collection, found.item, registry.principal)
    assert record.key is not None
    assert record.document == json.loads(store.workspace.get(record.key))
    return record.document


PACIFIC = {"crs": "EPSG:32601", "transform": Affine(1000, 0, 252_000, 0, -1000, 5_000_000)}


@pytest.mark.parametrize("grid", [UTM, PACIFIC, {}], ids=["UTM", "antimeridian", "no place"])
def test_the_item_of_a_map_is_valid(
    grid: dict[str, Any], store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    skipped = (SkippedScene("S2_T34", "truncated"),)
    found = publish_map(store, area_map(tmp_path, row, grid=grid, skipped=skipped))
    item = item_of(store, found)
    assert len(validate_dict(item, extensions=[])) == 1
    for extension in set(item["stac_extensions"]) & uris():
        validator(extension).validate(item)
    # of which only an older schema is at hand
    assert set(item["stac_extensions"]) - uris() <= {CLASSIFICATION}
    consistent(store, "catalog")
    properties = item["properties"]
    assert properties["mlops:skipped"] == ["S2_T34: truncated"]
    assert properties["processing:level"] == "L4"
    assert (properties["start_datetime"], properties["end_datetime"]) == (
        "2026-05-01T10:30:00Z",
        "2026-05-01T10:32:00Z",
    )
    assert item["assets"]["map"]["classification:classes"][0] == {
        "value": 3,
        "name": "open_water",
        "title": "open water",
        "description": "open water",
        "color_hint": "0A14C8",
    }
    model, plain, scene = (each for each in item["links"] if each["rel"] == "derived_from")
    assert model["href"].endswith(f"/models/crops/{row.version}/{row.version}.json")
    assert plain["file:checksum"] == f"1220{'a' * 64}" and plain["type"].startswith("image/tiff")
    assert [each["href"] for each in plain["mlops:files"]] == ["file:///scenes/S2_T32.tif.msk"]
    assert [(each["asset"], each["file:checksum"][4:6]) for each in scene["mlops:files"]] == [
        ("B04", "bb"),
        ("B08", "cc"),
    ]
    assert (
        "secret"
        not in json.dumps(item)
        + store.workspace.get(map_key("crops", row.version, found.name, ".map.json")).decode()
    )
    if grid is UTM:
        assert item["geometry"]["type"] == "Polygon"
        assert properties["proj:code"] == "EPSG:32632"
    elif grid is PACIFIC:
        assert item["geometry"]["type"] == "MultiPolygon" and item["bbox"][0] > item["bbox"][2]
    else:
        assert item["geometry"] is None and "bbox" not in item


def test_a_collection_is_of_all_maps_of_an_area(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    further = Affine(10, 0, 700_000, 0, -10, 5_300_000)
    boxes: list[list[float]] = []
    for day, grid in ((2, UTM), (1, {**UTM, "transform": further}), (3, {})):
        found = publish_map(store, area_map(tmp_path, row, day, grid=grid, scenes=()))
        boxes += [box for box in (item_of(store, found).get("bbox"),) if box]
    publish_map(store, made_map(tmp_path, row))
    collection = find_collection(store.registry, "valley", store.registry.principal).document
    assert collection["extent"] == {
        "spatial": {
            "bbox": [
                [
                    boxes[0][0],
                    min(boxes[0][1], boxes[1][1]),
                    boxes[1][2],
                    max(boxes[0][3], boxes[1][3]),
                ]
            ]
        },
        "temporal": {"interval": [["2026-05-01T00:00:00Z", "2026-05-03T23:59:59Z"]]},
    }
    assert "crops-maps" in json.dumps(json.loads(store.workspace.get("catalog/catalog.json")))
    names = [each.name for each in store.registry.maps(MapFilter(area="valley"), limit=2)]
    assert names == ["valley/2026-05-03", "valley/2026-05-01"]
    rest = store.registry.maps(MapFilter(area="valley"), limit=2, skip=2)
    assert [each.day for each in rest] == ["2026-05-02"]


def contents(store: Store) -> dict[str, bytes]:
    return {
        key: store.workspace.get(key)
        for key in store.workspace.list("")
        if key.startswith(("predictions/", "catalog/"))
    }


def test_the_same_map_stays_as_it_was_published(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    first = publish_map(store, area_map(tmp_path, row))
    before, newest = contents(store), store.registry.newest_entry()
    again = publish_map(store, area_map(tmp_path, row))
    assert (again.created, again.digest) == (first.created, first.digest)
    assert (contents(store), store.registry.newest_entry()) == (before, newest)
    # a damaged one is written again
    key = map_key("crops", row.version, first.name, ".tif")
    (store.workspace.root / key).write_bytes(b"damaged")
    publish_map(store, area_map(tmp_path, row))
    assert store.workspace.get(key) == before[key]


def test_a_map_of_other_scenes_replaces_that_of_its_name(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    first = publish_map(store, made_map(tmp_path, row))
    layers = {".tif": made_map(tmp_path, row).layers[".tif"]}
    scene = type(PLAIN)(PLAIN.found, (type(PLAIN.files[0])("", "s.tif", "d" * 64, 5),))
    second = publish_map(store, made_map(tmp_path, row, scenes=(scene,), layers=layers, value=7))
    assert first.input_digest != second.input_digest and first.digest != second.digest
    assert [each.digest for each in store.registry.maps()] == [second.digest]
    scores = map_key("crops", row.version, "scene", ".scores.tif")
    assert store.registry.files_at(scores) == [] and not store.workspace.exists(scores)
    (link,) = (
        each
        for each in item_of(store, second)["links"]
        if each["rel"] == "derived_from" and "file:size" in each
    )
    assert link["file:checksum"].endswith("d" * 64) and link["href"].startswith("file:///")


def test_files_of_an_earlier_release_are_verified_and_replaced_by_a_recorded_map(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    made = made_map(tmp_path, row)
    with publication(store.workspace, store.registry) as publishing:
        publishing.put_all(
            {map_key("crops", row.version, "scene", end): path for end, path in made.files.items()}
        )
        owner = prediction_owner("crops", row.version)
        store.registry.add_files(owner, publishing.files)
    assert (verify_model(store, row).problems, store.registry.maps()) == ([], [])
    publish_map(store, made_map(tmp_path, row, layers={".tif": made.layers[".tif"]}))
    assert [each.name for each in store.registry.maps()] == ["scene"]
    scores = map_key("crops", row.version, "scene", ".scores.tif")
    assert store.registry.files_at(scores) == [] and not store.workspace.exists(scores)
    assert verify_model(store, row).problems == []


def test_a_map_is_linked_to_its_model_version_that_is_recorded_later(
    store: Store, tmp_path: Path
) -> None:
    specification = model_specification("later")
    row = lifecycle(store, specification, "v1")
    found = publish_map(store, made_map(tmp_path, row))
    assert not any("mlm:name" in link for link in item_of(store, found)["links"])
    record_version(store, specification, row)
    (link,) = (link for link in item_of(store, found)["links"] if "mlm:name" in link)
    assert link["title"] == f"later@{row.version}"
    consistent(store, "catalog")
    assert verify_model(store, store.registry.model_version(Reference("later"))).problems == []


def test_maps_are_as_visible_as_their_model_version(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    found = publish_map(store, area_map(tmp_path, row))
    item_of(store, found, VIEWER)
    set_visibility(store, row, Visibility.PRIVATE)
    assert [
        key
        for key, content in contents(store).items()
        if key.startswith("catalog/") and b"valley" in content
    ] == []
    consistent(store, "catalog")
    private = consistent(store, "private")
    assert f"private/maps/valley/crops/{row.version}/{found.item}.json" in private
    with pytest.raises(NotFound):
        item_of(store, found, VIEWER)
    assert store.registry.acting(VIEWER).maps() == []
    # one that is made now is private, too
    second = publish_map(store, area_map(tmp_path, row, 2))
    consistent(store, "private")
    set_visibility(store, store.registry.model_version(Reference("crops")), Visibility.WORKSPACE)
    public = consistent(store, "catalog")
    assert {
        f"catalog/maps/valley/crops/{row.version}/{each.item}.json" for each in (found, second)
    } <= public
    assert not any("valley" in key for key in store.workspace.list("private"))
    item_of(store, second, VIEWER)


def test_an_area_called_as_a_model_is_refused(
    store: Store, row: ModelVersion, tmp_path: Path
) -> None:
    made = made_map(tmp_path, row, "crops/2026-05-01", area="crops")
    with pytest.raises(Conflict, match="a Collection crops exists already"):
        publish_map(store, made)
    assert store.registry.maps() == []
