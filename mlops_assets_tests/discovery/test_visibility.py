"""Every endpoint of the STAC API shows a caller what they may see, and nothing of the rest."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mlops_assets.identity.tokens import create_token
from mlops_assets.names import Reference
from mlops_assets.principals import Principal, Role, Visibility, local
from mlops_assets.registry import Registry
from mlops_assets.stac.found_records import add_published
from mlops_assets.stac.visibility import set_visibility
from mlops_assets.storage import Workspace
from mlops_assets.store import Store
from mlops_assets_tests.discovery.external import external_collection
from mlops_assets_tests.hub.serving import hub

FIELDS_1, FIELDS_2, SCENES = "fields-v1", "fields-v2", "scenes-v1"


@pytest.fixture
def store(recorded: Store, tmp_path: Path) -> Store:
    """A copy of the workspace, of which a change shows in no other test."""
    root = Path(shutil.copytree(recorded.workspace.root, tmp_path / "workspace"))
    registry = Registry(f"sqlite:///{root / 'registry.db'}").acting(local("tester"))
    return Store(Workspace(root.as_uri()), registry)


@pytest.fixture
def callers(store: Store) -> Iterator[dict[str, httpx.Client]]:
    """The creator of all versions, two others, and callers without a token or with a guest's."""
    with hub(store) as url:
        found = {"anyone": httpx.Client(base_url=f"{url}/stac/")}
        for name, role in (
            ("tester", Role.SCIENTIST),
            ("bob", Role.SCIENTIST),
            ("eve", Role.OPERATOR),
            ("gus", Role.GUEST),
        ):
            _, token = create_token(store.registry, name, [role], timedelta(days=1))
            found[name] = httpx.Client(
                base_url=f"{url}/stac/", headers={"Authorization": f"Bearer {token}"}
            )
        yield found
        for client in found.values():
            client.close()


def get(client: httpx.Client, path: str, **parameters: Any) -> Any:
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def seen(client: httpx.Client) -> dict[str, set[str]]:
    """The ids that each endpoint which lists anything shows."""
    pages = []
    page = get(client, "search", limit=1)
    while True:
        pages += page["features"]
        following = [link for link in page["links"] if link["rel"] == "next"]
        if not following:
            break
        page = client.get(following[0]["href"]).json()
    posted = client.post("search", json={"limit": 100}).json()
    searched = get(client, "search", limit=100)
    assert searched["numberMatched"] == len(searched["features"]) == len(pages)
    collections = get(client, "collections")
    assert collections["numberMatched"] == len(collections["collections"])
    names = {found["id"] for found in collections["collections"]}
    children = [link for link in get(client, "")["links"] if link["rel"] == "child"]
    assert {link["href"].rpartition("/")[2] for link in children} == names
    for name in names:
        for path in (f"collections/{name}", f"collections/{name}/queryables"):
            get(client, path)
    by_collection = {
        item["id"]
        for name in names
        for item in get(client, f"collections/{name}/items", limit=100)["features"]
    }
    found = {
        "items": {item["id"] for item in pages},
        "posted": {item["id"] for item in posted["features"]},
        "searched": {item["id"] for item in searched["features"]},
        "by collection": by_collection,
        "by words": {
            item["id"] for item in get(client, "search", q="fields,scenes,crops,cover")["features"]
        },
    }
    assert found["items"] == found["posted"] == found["searched"] == found["by collection"]
    assert found["by words"] <= found["items"]
    return {"items": found["items"], "collections": names}


def hrefs(document: Any) -> str:
    return json.dumps([link["href"] for link in document["links"]])


def test_everyone_sees_their_circles_at_every_endpoint(
    store: Store, callers: dict[str, httpx.Client]
) -> None:
    registry = store.registry
    first, second = registry.model_versions("crops")
    everything = seen(callers["eve"])
    assert everything["collections"] >= {FIELDS_1, FIELDS_2, SCENES, "crops", "cover"}
    for name in ("tester", "bob"):
        assert seen(callers[name]) == everything
    for name in ("anyone", "gus"):
        assert seen(callers[name]) == {"items": set(), "collections": set()}

    set_visibility(store, registry.data_version(Reference("fields", "v1")), Visibility.PRIVATE)
    set_visibility(store, first, Visibility.PRIVATE)
    set_visibility(store, second, Visibility.PUBLISHED)
    hidden_item = f"crops-{first.version}"
    for name in ("eve", "tester"):
        assert seen(callers[name]) == everything
    others = seen(callers["bob"])
    assert others["collections"] == everything["collections"] - {FIELDS_1}
    gone = everything["items"] - others["items"]
    assert hidden_item in gone
    assert all(item == hidden_item or item.startswith(FIELDS_1) for item in gone)
    for name in ("anyone", "gus"):
        found = seen(callers[name])
        assert found == {"items": {f"crops-{second.version}"}, "collections": {"crops"}}
        # its data are not published
        item = get(callers[name], f"collections/crops/items/crops-{second.version}")
        assert FIELDS_2 not in hrefs(item)
    assert FIELDS_2 in hrefs(get(callers["bob"], f"collections/crops/items/crops-{second.version}"))
    for path in (
        f"collections/{FIELDS_1}",
        f"collections/{FIELDS_1}/items",
        f"collections/{FIELDS_1}/queryables",
        f"collections/{FIELDS_1}/sortables",
        f"collections/crops/items/{hidden_item}",
    ):
        for name in ("bob", "anyone", "gus"):
            assert callers[name].get(path).status_code == 404, (name, path)
        for name in ("tester", "eve"):
            assert callers[name].get(path).status_code == 200, (name, path)
    # who does not see a record does not learn that it cannot be changed
    for path in (f"collections/{FIELDS_1}", f"collections/{FIELDS_1}/items/x"):
        assert callers["bob"].delete(path).status_code == 404
        assert callers["tester"].delete(path).status_code == 409
    assert (
        callers["bob"]
        .put(f"collections/{FIELDS_1}", json=external_collection(FIELDS_1))
        .status_code
        == 404
    )
    # nor which versions a dataset has, also where all of them are hidden
    set_visibility(store, registry.data_version(Reference("scenes", "v1")), Visibility.PRIVATE)
    for names in ((FIELDS_1, "fields-v9"), (SCENES, "scenes-v2")):
        sent = [(n, callers["bob"].post("collections", json=external_collection(n))) for n in names]
        assert {answer.status_code for _, answer in sent} == {409}
        assert len({answer.text.replace(name, "") for name, answer in sent}) == 1
    by_run = {"filter": f"\"mlops:run_id\" = '{first.run_id}'", "filter-lang": "cql2-text"}
    assert get(callers["bob"], "search", **by_run)["features"] == []
    assert len(get(callers["tester"], "search", **by_run)["features"]) == 1
    assert get(callers["bob"], "search", ids=hidden_item)["features"] == []


def test_a_model_of_private_versions_only_has_a_collection_for_who_sees_one(
    store: Store, callers: dict[str, httpx.Client]
) -> None:
    everything = seen(callers["bob"])
    (cover,) = store.registry.model_versions("cover")
    set_visibility(store, cover, Visibility.PRIVATE)
    assert seen(callers["tester"]) == everything
    others = seen(callers["bob"])
    assert everything["collections"] - others["collections"] == {"cover"}
    set_visibility(store, cover, Visibility.WORKSPACE)
    assert seen(callers["bob"]) == everything


def test_records_that_are_found_anew_are_no_more_visible(store: Store, tmp_path: Path) -> None:
    first, second = store.registry.model_versions("crops")
    set_visibility(store, first, Visibility.PRIVATE)
    set_visibility(store, second, Visibility.PUBLISHED)

    def rows() -> list[tuple[object, ...]]:
        with store.registry._engine.connect() as connection:
            found = []
            for table in ("stac_collections", "stac_items"):
                query = f"SELECT id, key, visibility, created_by FROM {table} ORDER BY id"  # nosec
                found += [tuple(row) for row in connection.exec_driver_sql(query)]
            return found

    before = rows()
    with store.registry._engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM stac_items")
        connection.exec_driver_sql("DELETE FROM stac_collections")
    assert add_published(store.workspace, store.registry) > 0
    assert rows() == before
    assert add_published(store.workspace, store.registry) == 0
    bob = Principal("bob", frozenset({Role.SCIENTIST}))
    assert [row.version for row in store.registry.acting(bob).model_versions("crops")] == [
        second.version
    ]
