"""STAC on servers: static catalogues in buckets and on the web, a STAC API of external assets."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

import pystac
import pytest

from mlops_assets.datasets.commit.commit import Commit, commit
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import MlopsError, StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import object_key
from mlops_assets.store import Store
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.datasets.places import Place, place
from mlops_assets_tests.servers.web import WebFolder

__all__ = ["place"]
StacApi = Callable[[Sequence[pystac.Item]], str]
SCENES = ("a", "b", "c")


@pytest.fixture
def api(https_folder: WebFolder, stac_api: StacApi) -> str:
    """The source URL of a STAC API with three scenes on a web server, one a day.

    They are in the collections `odd` and `even`.
    """
    _write_scenes(https_folder.folder)
    return f"stac+{stac_api([_item(name, f'{https_folder.url}/') for name in SCENES])}"


def test_a_static_catalogue_commits_from_any_server(
    place: Place, store: Store, tmp_path: Path
) -> None:
    _write_scenes(tmp_path / "scenes")
    place.land(tmp_path / "scenes")
    items = [_item(name, "../").to_dict(include_self_link=False) for name in SCENES]
    for item in items:
        place.put(f"items/{item['id']}.json", json.dumps(item).encode())
    links = [
        {"rel": "item", "href": f"./items/{item['id']}.json", "type": "application/geo+json"}
        for item in items
    ]
    catalog = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "scenes",
        "description": "Scenes",
        "links": links,
    }
    place.put("catalog.json", json.dumps(catalog).encode())
    committed = _opened(store, _commit(store, place.url))
    _has_scenes(committed, SCENES, tmp_path / "scenes")


def test_absolute_links_below_a_served_catalogue_are_inside(
    https_folder: WebFolder, store: Store
) -> None:
    landing = https_folder.folder / "landing"
    _write_scenes(landing)
    url = f"{https_folder.url}/landing"
    for name in SCENES:
        (landing / name).mkdir()
        document = json.dumps(_item(name, f"{url}/").to_dict(include_self_link=False))
        (landing / name / f"{name}.json").write_text(document)
    links = [{"rel": "item", "href": f"{url}/{name}/{name}.json"} for name in SCENES]
    catalog = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "scenes",
        "description": "Scenes",
        "links": links,
    }
    (landing / "catalog.json").write_text(json.dumps(catalog))
    committed = _opened(store, _commit(store, url))
    rasters = {f"{kind}/{name}.tif" for kind in ("images", "labels") for name in SCENES}
    assert set(committed.manifest["path"]) == {"catalog.json", *rasters}
    catalog["links"] = [{"rel": "item", "href": f"{https_folder.url}/landing2/a.json"}]
    (landing / "catalog.json").write_text(json.dumps(catalog))
    with pytest.raises(MlopsError, match=r"landing2/a\.json' leads out of the landing"):
        _commit(store, url)


def test_a_search_copies_the_assets_in(api: str, https_folder: WebFolder, store: Store) -> None:
    committed = _opened(store, _commit(store, api))
    https_folder.faults.add(
        "*", status=500
    )  # committed is committed, whatever becomes of the server
    _has_scenes(committed, SCENES, https_folder.folder)
    assert committed.manifest["href"].isna().all()
    assert (
        not committed.manifest.loc[committed.manifest["role"] == "image", "datetime"].isna().any()
    )


def test_a_search_takes_the_items_of_its_query(
    api: str, https_folder: WebFolder, store: Store
) -> None:
    committed = _opened(store, _commit(store, api, collections=["odd"]))
    _has_scenes(committed, ("a", "c"), https_folder.folder)
    committed = _opened(
        store, _commit(store, api, datetime="2024-01-02T00:00:00Z/2024-01-03T00:00:00Z")
    )
    _has_scenes(committed, ("b", "c"), https_folder.folder)
    committed = _opened(store, _commit(store, api, bbox=[9.0, 46.9, 9.05, 47.0]))
    _has_scenes(committed, ("a",), https_folder.folder)


def test_assets_kept_by_reference_stay_where_they_are_with_checksum_and_size(
    api: str, https_folder: WebFolder, store: Store
) -> None:
    committed = _opened(store, _commit(store, api, assets="reference"))
    catalogue = committed.manifest["role"] == "catalog"
    objects = [object_key(sha256) for sha256 in committed.manifest.loc[catalogue, "sha256"]]
    assert list(store.workspace.list("objects")) == objects
    for row in committed.manifest[~catalogue].itertuples():
        assert str(row.href).startswith(https_folder.url)
        path = https_folder.folder / str(row.href).removeprefix(f"{https_folder.url}/")
        assert path.stat().st_size == row.size
    _has_scenes(committed, SCENES, https_folder.folder)


def test_an_asset_kept_by_reference_that_changed_or_is_gone_is_reported(
    api: str, https_folder: WebFolder, store: Store
) -> None:
    version = _commit(store, api, assets="reference")
    write_scene(https_folder.folder, "a", seed=9)
    (https_folder.folder / "images" / "b.tif").unlink()
    committed = _opened(store, version)
    images = committed.manifest[committed.manifest["role"] == "image"].set_index("scene")["path"]
    for name in ("a", "b"):
        with pytest.raises(MlopsError, match=rf"images/{name}\.tif.*; "):
            committed.local_path(images[name])


def test_a_second_search_with_the_same_answer_is_the_same_version_and_fetches_nothing(
    api: str, https_folder: WebFolder, store: Store
) -> None:
    assert _commit(store, api).created
    fetched = len(https_folder.faults.asked("GET *.tif"))
    assert not _commit(store, api).created
    assert len(https_folder.faults.asked("GET *.tif")) == fetched


@pytest.mark.parametrize(
    ("status", "method"), [(403, None), (404, None), (404, "GET"), (500, "GET")]
)
def test_assets_that_cannot_be_read_are_named_and_nothing_is_published(
    api: str, https_folder: WebFolder, store: Store, status: int, method: str | None
) -> None:
    https_folder.faults.add("*/images/b.tif", status=status, method=method)
    with pytest.raises(MlopsError, match=r"(?s)images/b\.tif.*; "):
        _commit(store, api)
    assert store.registry.data_versions() == []
    https_folder.faults.clear()
    assert _commit(store, api).created


def test_all_missing_assets_are_named_at_once(
    api: str, https_folder: WebFolder, store: Store
) -> None:
    for name in ("a", "c"):
        (https_folder.folder / "labels" / f"{name}.tif").unlink()
    with pytest.raises(MlopsError, match=r"labels/a\.tif") as raised:
        _commit(store, api)
    assert "labels/c.tif" in str(raised.value)


@pytest.mark.parametrize(
    "url", ["stac+http://127.0.0.1:9", None], ids=["nobody listens", "no STAC API"]
)
def test_a_url_that_is_not_an_api_is_reported_with_a_remedy(
    url: str | None, https_folder: WebFolder, store: Store
) -> None:
    url = url or f"stac+{https_folder.url}"
    with pytest.raises(StorageError, match=rf"{url.removeprefix('stac+')}.*; "):
        _commit(store, url)
    assert store.registry.data_versions() == []


def _write_scenes(folder: Path) -> None:
    for seed, name in enumerate(SCENES):
        write_scene(folder, name, size=24, seed=seed)


def _item(name: str, base: str) -> pystac.Item:
    number = SCENES.index(name)
    west, south, east, north = box = [9.0 + number / 10, 46.9, 9.05 + number / 10, 47.0]
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    item = pystac.Item(
        name,
        {"type": "Polygon", "coordinates": [ring]},
        box,
        datetime(2024, 1, 1 + number, tzinfo=UTC),
        {},
    )
    item.collection_id = "even" if number % 2 else "odd"
    for kind in ("image", "labels"):
        href = f"{base}{kind.removesuffix('s')}s/{name}.tif"
        item.add_asset(
            kind, pystac.Asset(href, media_type=pystac.MediaType.GEOTIFF, roles=["data"])
        )
    return item


def _commit(store: Store, url: str, **options: object) -> Commit:
    source = {"url": url, "layout": "stac", "stac": {"size": 3, **options}}
    return commit(store.workspace, store.registry, scenes_specification(source=source))


def _opened(store: Store, committed: Commit) -> CommittedDataset:
    return CommittedDataset.open(
        store.workspace, store.registry, Reference("scenes", committed.version.version)
    )


def _has_scenes(committed: CommittedDataset, names: Sequence[str], folder: Path) -> None:
    """The version has these scenes, image and labels, with the bytes that lie in the folder."""
    images = committed.manifest[committed.manifest["role"] == "image"]
    assert sorted(images["scene"]) == sorted(names)
    for row in images.itertuples():
        assert (
            committed.local_path(str(row.path)).read_bytes()
            == (folder / f"images/{row.scene}.tif").read_bytes()
        )
        labels = committed.scene_labels(str(row.path))
        assert (
            committed.local_path(labels).read_bytes()
            == (folder / f"labels/{row.scene}.tif").read_bytes()
        )
    assert set(committed.samples["path"]) == set(images["path"])
