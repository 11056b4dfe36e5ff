"""Rows of maps: listed in pages, found by checksums, replaced whole; on both databases."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import select

from mlops_assets.errors import NotFound
from mlops_assets.paths import map_items_folder, maps_owner, owner_of, prediction_owner
from mlops_assets.principals import Principal, Role, Visibility
from mlops_assets.registry import Map, Registry
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.registry.records.rows import PublishedRecords, RecordRow
from mlops_assets.registry.schema import StacItem
from mlops_assets.storage import FileStat
from mlops_assets.text.json_values import JsonObject
from mlops_assets_tests.registry.rows import data_version, map_row, model_version, new_run

VERSION = "v1-00000000"
BOB = Principal("bob", frozenset({Role.VIEWER}))


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.services)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Registry]:
    """A registry with a model version."""
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_database")()
    opened = Registry(url)
    opened.publish_data_version(data_version(), [])
    opened.start_run(new_run("run-1"))
    opened.publish_model_version(model_version(VERSION, "run-1"), [])
    yield opened
    opened.close()


def publish(registry: Registry, row: Map, source: str, *ends: str) -> None:
    """Publish a map of one scene, with files that end in `ends`."""
    key = f"{map_items_folder(row.collection, row.model, row.version)}/{row.item}.json"
    link: JsonObject = {
        "rel": "derived_from",
        "href": "scene.tif",
        "file:checksum": f"1220{source * 64}",
    }
    item: JsonObject = {
        "type": "Feature",
        "collection": row.collection,
        "id": row.item,
        "geometry": None,
        "properties": {"datetime": "2026-05-01T00:00:00Z"},
        "links": [link],
    }
    folder = f"predictions/{row.model}/{row.version}/{row.name}"
    files = [FileStat(f"{folder}{end}", source * 64, 1) for end in ends]
    dropped = {file.path for file in registry.files(prediction_owner(row.model, row.version))}
    dropped = {path for path in dropped if path.startswith(f"{folder}.")}
    dropped -= {file.path for file in files}
    records = PublishedRecords(
        {
            prediction_owner(row.model, row.version): files,
            maps_owner(row.model, row.version): [FileStat(key, "e" * 64, 2)],
        },
        [RecordRow(item, key, "e" * 64)],
    )
    registry.publish_map(row, records, dropped)


def named(found: list[Map]) -> list[str]:
    return [row.name for row in found]


def test_maps_are_listed_in_pages_and_found_by_checksums(registry: Registry) -> None:
    for number, source in enumerate("abcab", 1):
        row = map_row(
            VERSION,
            f"m{number}",
            created=datetime(2026, 5, number, tzinfo=UTC),
            area="valley" if number % 2 else None,
            day=f"2026-05-{number:02}",
        )
        publish(registry, row, source, ".tif")
    assert named(registry.maps()) == ["m5", "m4", "m3", "m2", "m1"]
    assert named(registry.maps(limit=2, skip=1)) == ["m4", "m3"]
    assert named(registry.maps(MapFilter(area="valley"), limit=2)) == ["m5", "m3"]
    assert named(registry.maps(MapFilter(version=VERSION, day="2026-05-02"))) == ["m2"]
    assert named(registry.maps(MapFilter(model="others"))) == []
    assert named(registry.maps_with("a" * 64)) == ["m4", "m1"]
    assert named(registry.maps_with("_" * 64)) == []
    assert registry.map_collections() == ["crops-maps"]


def test_a_map_replaces_that_of_its_name_with_its_files(registry: Registry) -> None:
    publish(registry, map_row(VERSION), "a", ".tif", ".scores.tif")
    publish(registry, map_row(VERSION, "scene-2"), "d", ".tif")
    publish(registry, map_row(VERSION, outside=0.5), "b", ".tif")
    assert sorted(row.outside for row in registry.maps() if row.outside) == [0.25, 0.5]
    assert registry.maps_with("a" * 64) == []
    left = f"predictions/crops/{VERSION}/scene.scores.tif"
    assert registry.files_at(left) == [] and registry.staged() == {left: left}


def test_maps_and_their_items_are_hidden_with_their_model_version(registry: Registry) -> None:
    publish(registry, map_row(VERSION), "a", ".tif")
    registry.set_visibility(model_version(VERSION, "run-1"), Visibility.PRIVATE)
    bob = registry.acting(BOB)
    assert (bob.maps(), bob.maps_with("a" * 64), bob.map_collections()) == ([], [], [])
    with registry.reading() as session:
        assert session.scalars(select(StacItem.visibility)).all() == [Visibility.PRIVATE]


def test_a_map_of_no_model_version_is_refused(registry: Registry) -> None:
    with pytest.raises(NotFound, match="crops@v9-00000000 is not in the registry"):
        registry.publish_map(map_row("v9-00000000"), PublishedRecords({}, []))


def test_the_key_of_an_item_states_its_model_version() -> None:
    folder = map_items_folder("valley", "crops", VERSION, private=True)
    assert owner_of(f"{folder}/crops-{VERSION}-valley.json") == maps_owner("crops", VERSION)
    assert owner_of("catalog/maps/valley/collection.json") == "catalog"
