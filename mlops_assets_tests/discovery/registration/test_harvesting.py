"""Catalogues of others fetch ours: the static catalogue where it is, or the STAC API."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import pystac
import pytest
from pystac_client import Client
from pystac_client.warnings import FallbackToPystac, NoConformsTo
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from mlops_assets.discovery.links import Addresses
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.discovery.registration.outgoing import outgoing
from mlops_assets.names import Reference
from mlops_assets.principals import Visibility, local
from mlops_assets.registry import Registry
from mlops_assets.registry.records.lookup import find_item
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import TOKEN, hub
from mlops_assets_tests.servers.asgi import served
from mlops_assets_tests.servers.buckets import Bucket
from mlops_assets_tests.services import require_script


@pytest.fixture(scope="module")
def store(recorded: Store, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A copy of the workspace, with a private version of its data, and all else published."""
    copy = tmp_path_factory.mktemp("harvested") / "workspace"
    root = Path(shutil.copytree(recorded.workspace.root, copy))
    registry = Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester"))
    found = Store(Workspace(root.as_uri()), registry)
    for data in registry.data_versions():
        set_visibility(found, data, Visibility.PUBLISHED)
    for model in registry.model_versions():
        set_visibility(found, model, Visibility.PUBLISHED)
    set_visibility(found, registry.data_version(Reference("fields", "v1")), Visibility.PRIVATE)
    yield found
    registry.close()


@pytest.fixture(scope="module")
def web(store: Store) -> Iterator[str]:
    """The URL of the workspace on a web server, which lists no folders."""
    with served(Starlette(routes=[Mount("/", StaticFiles(directory=store.workspace.root))])) as url:
        yield url


@pytest.fixture(params=["web", "bucket"])
def root(request: pytest.FixtureRequest, store: Store) -> str:
    """The URL of the static catalogue on a web server, and in a bucket that all may read."""
    if request.param == "web":
        return f"{request.getfixturevalue('web')}/catalog/catalog.json"
    bucket: Bucket = request.getfixturevalue("gs")
    bucket.land(store.workspace.root)
    name = bucket.url.removeprefix("gs://")
    return f"{bucket.server.endpoint}/{name}/catalog/catalog.json"


def walk(root: str) -> dict[str, dict[str, Any]]:
    """Return all documents below a catalogue by their URLs, reading what links and assets name.

    Raises:
        AssertionError: something is not there, or is named by an absolute link.
    """
    found: dict[str, dict[str, Any]] = {}
    waiting = [root]
    with httpx.Client() as client:
        while waiting:
            url = waiting.pop()
            if url in found:
                continue
            found[url] = client.get(url).raise_for_status().json()
            entries = [*found[url]["links"], *found[url].get("assets", {}).values()]
            for entry in entries:
                if str(entry["href"]).startswith("https://"):
                    assert entry["rel"] in ("cite-as", "license"), entry
                    continue
                assert str(entry["href"]).startswith("."), entry
                target = urljoin(url, entry["href"])
                answer = client.head(target)
                assert answer.is_success, f"{url}: {entry['href']} is {answer.status_code}"
                if entry.get("rel") in ("child", "item"):
                    waiting.append(target)
    return found


def test_every_link_and_file_is_there_and_no_private_version(root: str, store: Store) -> None:
    documents = walk(root)
    ids = [found["id"] for found in documents.values()]
    assert len(set(ids)) == len(ids)
    models = {f"{row.model}-{row.version}" for row in store.registry.model_versions()}
    assert {"fields-v2", "scenes-v1", "crops", "cover", *models} <= set(ids)
    assert not any(name.startswith("fields-v1") for name in ids)
    assert "fields-v1" not in json.dumps([found["links"] for found in documents.values()])


def test_a_broken_link_is_found(store: Store, tmp_path: Path) -> None:
    # without the files that its records name
    shutil.copytree(store.workspace.root / "catalog", tmp_path / "catalog")
    files = Starlette(routes=[Mount("/", StaticFiles(directory=tmp_path))])
    with served(files) as url, pytest.raises(AssertionError, match=r"\.\./.* is 404"):
        walk(f"{url}/catalog/catalog.json")


def test_pystac_and_its_client_read_all_of_it(root: str) -> None:
    documents = walk(root)
    catalog = pystac.Catalog.from_file(root)
    read: list[pystac.STACObject] = []
    for own, _, items in catalog.walk():
        read += [own, *items]
    assert {each.get_self_href() for each in read} == documents.keys()
    kinds = [found["type"] for found in documents.values()]
    # that it is not an API
    with pytest.warns((NoConformsTo, FallbackToPystac)):
        client = Client.open(root)
        assert len(list(client.get_items(recursive=True))) == kinds.count("Feature")
        assert len(list(client.get_all_collections())) == kinds.count("Collection")


def test_stac_validator_finds_nothing_from_the_root_on(web: str, tmp_path: Path) -> None:
    root = f"{web}/catalog/catalog.json"
    documents = walk(root)
    bundled = Path(pystac.__file__).parent / "validation" / "jsonschemas"
    schemas = {json.loads(path.read_text())["$id"]: path for path in bundled.rglob("*.json")}
    # pystac 1.15 has a slip in the id of this one
    common = "https://schemas.stacspec.org/v1.1.0/item-spec/json-schema/common.json"
    schemas[common] = bundled / "stac-spec" / "v1.1.0" / "common.json"
    # those of extensions would be downloaded; records are validated by them in tests of `stac`
    anything = tmp_path / "anything.json"
    anything.write_text("{}")
    extensions = {uri for each in documents.values() for uri in each.get("stac_extensions", [])}
    schemas |= dict.fromkeys(extensions, anything)
    log = tmp_path / "found.json"
    command = [str(require_script("stac-validator")), "validate", root, "--recursive"]
    command += ["--log_file", str(log)]
    for uri, path in schemas.items():
        command += ["--schema-map", uri.rstrip("#"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = json.loads(log.read_text())
    assert [each for each in found if not each["valid_stac"]] == []
    assert (len(found), done.returncode) == (len(documents), 0)


def test_what_is_harvested_from_files_leads_to_them_from_elsewhere(
    root: str, tmp_path: Path
) -> None:
    workspace = Workspace((tmp_path / "other").as_uri())
    registry = Registry(f"sqlite:///{tmp_path / 'other/registry.db'}").acting(local("tester"))
    headers = {"Authorization": f"Bearer {TOKEN}"}
    with hub(Store(workspace, registry)) as url:
        api = httpx.Client(base_url=f"{url}/stac/", headers=headers)
        with api:
            for collection in pystac.Catalog.from_file(root).get_all_collections():
                items = list(collection.get_items())
                collection.make_asset_hrefs_absolute()
                for item in items:
                    item.make_asset_hrefs_absolute()
                assert api.post("collections", json=collection.to_dict()).status_code == 201
                place = f"collections/{collection.id}/items"
                for item in items:
                    assert api.post(place, json=item.to_dict()).status_code == 201
            found = api.get("search", params={"limit": 100}).json()["features"]
            collections = api.get("collections").json()["collections"]
        assets = [
            asset for each in (*found, *collections) for asset in each.get("assets", {}).values()
        ]
        assert len(found) > 4
        assert all(httpx.head(asset["href"]).is_success for asset in assets)
    registry.close()


def test_eoepcas_harvester_takes_whole_records_from_the_api(store: Store) -> None:
    with hub(store) as url:
        api = f"{url}/stac"
        taken: dict[tuple[str, str], dict[str, Any]] = {}
        # the steps of its three tasks: it opens what is above each link anew
        for collection in Client.open(api).get_collections():
            client = Client.open(str(collection.get_self_href()).rsplit("/", 2)[0])
            assert client.get_collection(collection.id) is not None
            search = client.search(
                collections=[collection.id],
                datetime="1970-01-01T00:00:00Z/2100-01-01T00:00:00Z",
                max_items=1000,
                sortby="+datetime",
            )
            for href in [str(item.get_self_href()) for item in search.items()]:
                above, collection_id, _, item_id = href.rsplit("/", 3)
                (item,) = (
                    Client.open(above.rsplit("/", 1)[0])
                    .search(ids=[item_id], collections=[collection_id])
                    .items()
                )
                taken[collection_id, item_id] = item.to_dict()
        addresses = Addresses(f"{api}/", store.workspace.url)
        models = {
            (row.model, f"{row.model}-{row.version}") for row in store.registry.model_versions()
        }
        assert models <= taken.keys()
        for place, document in taken.items():
            record = find_item(store.registry, *place, local("tester"))
            assert differences(outgoing(record, addresses), document) == []
        hrefs = [asset["href"] for found in taken.values() for asset in found["assets"].values()]
        assert all(str(href).startswith(store.workspace.url) for href in hrefs)
