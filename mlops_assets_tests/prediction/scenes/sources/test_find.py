"""Scenes of files, folders, buckets, catalogues and APIs, and which of them are wanted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pystac
import pytest
from shapely.geometry import shape

from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import NoScenes, SpecificationError, StorageError
from mlops_assets.prediction.areas.geometry import outline_of
from mlops_assets.prediction.job import as_json, from_json
from mlops_assets.prediction.scenes.found import FoundScene
from mlops_assets.prediction.scenes.sources.find import find_scenes
from mlops_assets.prediction.scenes.sources.search import SceneSearch
from mlops_assets.store import Store
from mlops_assets_tests.prediction.scenes.sources.items import noise, write_item, write_raster
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.servers.web import WebFolder

ACQUIRED = datetime(2024, 6, 1, 10, 20, 30, tzinfo=UTC)
INSIDE: dict[str, object] = {
    "type": "Polygon",
    "coordinates": [[[9.02, 42.3], [9.03, 42.3], [9.03, 42.4], [9.02, 42.3]]],
}
TILE: dict[str, object] = {
    "type": "Polygon",
    "coordinates": [[[9, 42], [9.1, 42], [9.1, 42.5], [9, 42.5], [9, 42]]],
}
FAR: dict[str, object] = {
    "type": "Polygon",
    "coordinates": [[[20, 10], [21, 10], [21, 11], [20, 10]]],
}


def hrefs(scene: FoundScene) -> list[str]:
    assert scene.item is not None
    return [asset["href"] for asset in scene.item["assets"].values()]  # type: ignore[attr-defined]


@pytest.fixture
def catalogue(tmp_path: Path) -> Path:
    """A catalogue whose Items lie beside its rasters' folder."""
    folder = tmp_path / "first"
    root = pystac.Catalog("scenes", "Scenes of two days")
    collection = pystac.Collection(
        "tiles",
        "Tiles",
        pystac.Extent(
            pystac.SpatialExtent([[9, 42, 9.1, 42.5]]), pystac.TemporalExtent([[ACQUIRED, None]])
        ),
    )
    root.add_child(collection)
    for day in (1, 2):
        path = write_raster(folder / f"data/{day}.tif", noise(8, 8), 10)
        item = pystac.Item(f"tile-{day}", TILE, [9, 42, 9.1, 42.5], ACQUIRED.replace(day=day), {})
        item.add_asset("image", pystac.Asset(str(path), media_type=pystac.MediaType.COG))
        collection.add_item(item)
    root.normalize_hrefs(str(folder / "catalogue"))
    root.make_all_asset_hrefs_relative()
    root.save(pystac.CatalogType.SELF_CONTAINED)
    return folder


@pytest.mark.parametrize(
    "document", ["catalog.json", "tiles/collection.json", "tiles/tile-2/tile-2.json"]
)
def test_a_catalogue_that_was_moved_leads_to_its_files(
    store: Store, catalogue: Path, tmp_path: Path, document: str
) -> None:
    moved = catalogue.rename(tmp_path / "second")

    scenes = find_scenes(store, [f"second/catalogue/{document}"])

    assert [scene.name for scene in scenes][-1] == "tile-2"
    assert len(scenes) == 1 + ("tile-2" not in document)
    assert scenes[-1].acquired == ACQUIRED.replace(day=2)
    assert scenes[-1].bounds == (9.0, 42.0, 9.1, 42.5)
    assert hrefs(scenes[-1]) == [(moved / "data/2.tif").as_uri()]
    assert from_json(FoundScene, json.loads(json.dumps(as_json(scenes[-1])))) == scenes[-1]


def test_a_folder_has_items_and_rasters_that_no_item_names(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "scenes"
    for name in (
        "a/B02.tif",
        "a/B03.tif",
        "b/scene.tif",
        "c/scene.tif",
        "d/old.tif",
        "d/note.json",
    ):
        write_raster(folder / name, noise(8, 8), 10)
    write_item(folder / "a", {"B02": {}, "B03": {}})
    # an Item that was downloaded with its file, which is named like the Item
    write_item(folder / "d", {"data": {"href": "https://host/x/old.tif"}}, id="old").rename(
        folder / "d/old.json"
    )
    again = json.loads((folder / "a/item.json").read_text())
    (folder / "a/items.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": [again]})
    )
    (folder / "d/note.json").write_text('{"type": "note"}')

    scenes = find_scenes(store, ["scenes"])

    names = [scene.name for scene in scenes]
    assert names[:2] == ["S2A_T32TNN", "old"]
    assert hrefs(scenes[0]) == [(folder / f"a/{name}.tif").as_uri() for name in ("B02", "B03")]
    assert hrefs(scenes[1]) == [(folder / "d/old.tif").as_uri()]
    assert len(set(names)) == 4
    assert all(name.startswith("scene-") for name in names[2:])
    assert [scene.acquired for scene in scenes] == [ACQUIRED, ACQUIRED, None, None]
    (alone,) = find_scenes(store, ["scenes/c/../d/old.tif"])
    assert alone == scenes[1]


def test_times_of_files_are_those_of_acquisition_only(store: Store, tmp_path: Path) -> None:
    path = write_raster(tmp_path / "scene.tif", noise(8, 8), 10)
    with open_raster(path, "r+") as raster:
        raster.update_tags(TIFFTAG_DATETIME="2024:07:01 00:00:00")
    assert find_scenes(store, ["scene.tif"])[0].acquired is None
    with open_raster(path, "r+") as raster:
        raster.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2024-06-01T12:20:30+02:00")
    assert find_scenes(store, ["scene.tif"])[0].acquired == ACQUIRED


@pytest.mark.parametrize(
    ("search", "found"),
    [
        (SceneSearch(datetime="2024-06-01"), [1]),
        (SceneSearch(datetime="2024-06-01/2024-06-02"), [1, 2]),
        (SceneSearch(datetime="2024-06-01T10:20:31Z/.."), [2]),
        (SceneSearch(datetime="2024-06"), [1, 2]),
        (SceneSearch(collections=("tiles",), area=INSIDE), [1, 2]),
        (SceneSearch(bbox=(179.0, 40.0, 9.01, 45.0)), [1, 2]),
        (
            SceneSearch(datetime="2024-05-31/2024-05-31"),
            "acquired in .* 2 from 2024-06-01 to 2024-06-02",
        ),
        (SceneSearch(bbox=(9.0, 42.0, 9.1, 42.5), area=FAR), "box and the area do not overlap"),
        (SceneSearch(area=FAR), "reaches the area .* but 2 elsewhere"),
        (SceneSearch(collections=("others",)), "its collections are tiles"),
    ],
)
def test_collections_area_and_time(
    store: Store, catalogue: Path, search: SceneSearch, found: list[int] | str
) -> None:
    source = [str(catalogue / "catalogue/catalog.json")]
    if isinstance(found, str):
        with pytest.raises(NoScenes, match=found):
            find_scenes(store, source, search)
        return
    scenes = find_scenes(store, source, search)
    assert [scene.name for scene in scenes] == [f"tile-{day}" for day in found]


def test_an_area_across_the_antimeridian_is_searched_there_only() -> None:
    rings = [[[179, -18], [-179, -18], [-179, -17], [179, -17], [179, -18]]]
    area = outline_of({"type": "Polygon", "coordinates": rings}, "Fiji")
    assert SceneSearch(area=area).bounds() == (179, -18, -179, -17)
    assert SceneSearch(area=INSIDE).bounds() == shape(INSIDE).bounds


def test_a_bucket_and_a_web_server(
    store: Store, catalogue: Path, s3: Bucket, https_folder: WebFolder, tmp_path: Path
) -> None:
    s3.land(catalogue, "moved")
    shutil.copytree(catalogue, https_folder.folder, dirs_exist_ok=True)

    # its directory is before its pixels, as in a COG
    with open_raster(catalogue / "data/1.tif") as raster:
        profile = {**raster.profile, "height": 600, "width": 600, "blockysize": 16}
    with open_raster(tmp_path / "cog.tif", "w", **profile) as raster:
        raster.update_tags(ns="IMAGERY", ACQUISITIONDATETIME="2024-06-03")
        raster.write(noise(600, 600))
    s3.put("alone/cog.tif", tmp_path / "cog.tif")

    (alone,) = find_scenes(store, [f"{s3.url}/alone"], SceneSearch(datetime="2024-06-03"))
    prefix = find_scenes(store, [f"{s3.url}/moved"])
    single = find_scenes(store, [f"{s3.url}/moved/data/1.tif"])
    web = find_scenes(store, [f"{https_folder.url}/catalogue/catalog.json"])

    assert [scene.name for scene in prefix] == ["tile-1", "tile-2"]
    assert hrefs(prefix[0]) == [f"{s3.url}/moved/data/1.tif"]
    (here,) = find_scenes(store, [str(tmp_path / "cog.tif")])
    assert here.bounds is not None
    assert (alone.bounds, alone.acquired) == (here.bounds, here.acquired)
    assert alone.size == (tmp_path / "cog.tif").stat().st_size > 256 << 10
    assert single[0].size == (catalogue / "data/1.tif").stat().st_size
    assert hrefs(web[1]) == [f"{https_folder.url}/data/2.tif"]


def test_an_api_is_searched(
    store: Store, catalogue: Path, stac_api: Callable[[Sequence[pystac.Item]], str]
) -> None:
    root = pystac.Catalog.from_file(str(catalogue / "catalogue/catalog.json"))
    items = list(root.get_items(recursive=True))
    for item in items:
        item.assets["image"].href = f"https://host/{item.id}.tif"
    url = stac_api(items)

    by_page = find_scenes(store, [url], SceneSearch(datetime="2024-06-02", area=INSIDE))
    named = find_scenes(store, [f"stac+{url}"], SceneSearch(datetime="2024-06-01"))
    whole = find_scenes(store, [f"{url}/collections/tiles"])

    assert [scene.name for scene in by_page] == ["tile-2"]
    assert [scene.name for scene in named] == ["tile-1"]
    assert named[0].href == f"{url}/collections/tiles/items/tile-1"
    assert [scene.name for scene in whole] == ["tile-1", "tile-2"]
    with pytest.raises(StorageError, match="does not conform to FILTER"):
        find_scenes(store, [url], SceneSearch(query="id = 'tile-1'"))
    with pytest.raises(SpecificationError, match="leave out the other collections"):
        find_scenes(store, [f"{url}/collections/tiles"], SceneSearch(collections=("others",)))


def test_a_page_of_a_search_is_not_taken_for_all(store: Store, tmp_path: Path) -> None:
    page = {"type": "FeatureCollection", "features": [], "links": [{"rel": "next", "href": "?p=2"}]}
    (tmp_path / "page.json").write_text(json.dumps(page))
    with pytest.raises(SpecificationError, match="first page of a search"):
        find_scenes(store, ["page.json"])


def asset(href: str) -> dict[str, Any]:
    return {"data": {"href": href}}


@pytest.mark.parametrize(
    ("source", "href", "refused"),
    [
        ("item.json", "../other/x.tif", False),
        ("item.json", "{root}/items/x.tif", False),
        ("item.json", "{root}/other/x.tif", True),
        ("item.json", "file://{root}/other/x.tif", True),
        ("item.json", "{root}/workspace/x.tif", False),
        ("", "../other/x.tif", True),
        ("", "x.tif", False),
    ],
)
def test_files_of_this_machine_that_an_item_may_name(
    store: Store, tmp_path: Path, source: str, href: str, refused: bool
) -> None:
    write_item(tmp_path / "items", asset(href.format(root=tmp_path)))
    if not refused:
        assert find_scenes(store, [f"items/{source}"])[0].name == "S2A_T32TNN"
        return
    with pytest.raises(SpecificationError, match="names it by its path on this machine"):
        find_scenes(store, [f"items/{source}"])


def test_remote_items_name_no_file_of_this_machine(store: Store, https_folder: WebFolder) -> None:
    write_item(https_folder.folder, asset("file:///etc/x.tif"))
    with pytest.raises(SpecificationError, match=r"/etc/x\.tif, which is not read"):
        find_scenes(store, [f"{https_folder.url}/item.json"])
    own = f"{store.workspace.url}/predictions/x.tif"
    write_item(https_folder.folder, asset(own))
    assert hrefs(find_scenes(store, [f"{https_folder.url}/item.json"])[0]) == [own]


@pytest.mark.parametrize("fields", [{"roles": ["metadata"]}, {"type": None}])
def test_remote_items_name_no_file_of_this_machine_as_what_is_not_data(
    store: Store, https_folder: WebFolder, tmp_path: Path, fields: dict[str, Any]
) -> None:
    private = write_raster(tmp_path / "private/codes.bin", noise(8, 8), 10)
    codes = {"href": private.as_uri(), **fields}
    write_item(https_folder.folder, {"B02": {}, "scl": codes})

    (found,) = find_scenes(store, [f"{https_folder.url}/item.json"])

    assert hrefs(found) == [f"{https_folder.url}/B02.tif"]


def test_times_that_are_no_moment_in_utc_are_unknown(store: Store, tmp_path: Path) -> None:
    write_item(tmp_path, asset("x.tif"), properties={"datetime": "0001-01-01T00:00:00+14:00"})

    assert find_scenes(store, ["item.json"])[0].acquired is None


def test_names_are_fit_for_paths_and_unique(store: Store, tmp_path: Path) -> None:
    for folder, name in (("a", "../x y"), ("b", "same"), ("c", "SAME")):
        write_item(tmp_path / "items" / folder, asset("x.tif"), id=name)

    names = [scene.name for scene in find_scenes(store, ["items", "items/b/item.json"])]

    assert len(names) == 3
    assert all(name.rpartition("-")[0] in ("x-y", "same", "SAME") for name in names)


@pytest.mark.parametrize(
    ("source", "search", "kind", "message"),
    [
        ("nothing.tif", None, NoScenes, r"nothing\.tif is not there"),
        ("nothing.json", None, StorageError, r"nothing\.json is not there"),
        ("empty", None, NoScenes, "has no raster"),
        ("bare", None, NoScenes, "bare is empty or not there; put scenes into it"),
        ("label.json", None, SpecificationError, "no Item has a raster .* there are labels"),
        ("notes.json", None, SpecificationError, "1 documents that cannot be used"),
        ("scene.tif", SceneSearch(datetime="2024"), SpecificationError, "not known, so '2024'"),
        ("scene.tif", SceneSearch(query="a = 1"), SpecificationError, "is not a STAC API"),
        ("scene.tif", SceneSearch(datetime="today"), SpecificationError, "not a time or interval"),
    ],
)
def test_sources_without_scenes(
    store: Store,
    tmp_path: Path,
    source: str,
    search: SceneSearch | None,
    kind: type[Exception],
    message: str,
) -> None:
    (tmp_path / "bare").mkdir()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/a.txt").write_text("a")
    write_raster(tmp_path / "scene.tif", noise(8, 8), 10)
    write_item(tmp_path, {"labels": {"href": "x.geojson", "type": "application/geo+json"}}).rename(
        tmp_path / "label.json"
    )
    (tmp_path / "notes.json").write_text("{}")
    with pytest.raises(kind, match=message):
        find_scenes(store, [source], search)
