"""What callers send: changes of records by those who may, and requests that are not valid."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from fastapi import Request
from pystac_client import Client

from mlops_assets.discovery.errors import report_error
from mlops_assets.errors import StorageError
from mlops_assets.paths import dataset_collection_key
from mlops_assets.registry.records import lookup
from mlops_assets.store import Store
from mlops_assets_tests.discovery.external import SQUARE, external_collection, external_item
from mlops_assets_tests.hub.serving import TOKEN, hub

HEADERS = {"Authorization": f"Bearer {TOKEN}"}
AS_JSON = {"Content-Type": "application/json"}
DEEP: dict[str, Any] = {"op": "=", "args": [{"property": "id"}, "x"]}
for _ in range(200):
    DEEP = {"op": "not", "args": [DEEP]}


@pytest.fixture
def sent(client: httpx.Client) -> Any:
    """An external Collection with an Item, which is removed afterwards."""
    assert client.post("collections", json=external_collection()).status_code == 201
    answer = client.post("collections/sent/items", json=external_item())
    assert answer.status_code == 201, answer.text
    yield answer
    assert client.delete("collections/sent").status_code == 204


def test_an_item_is_sent_changed_and_removed(client: httpx.Client, sent: httpx.Response) -> None:
    own = sent.headers["location"]
    found = client.get(own).json()
    assert {key: value for key, value in found.items() if key != "links"} == {
        key: value for key, value in external_item().items() if key != "links"
    }
    assert next(each["href"] for each in found["links"] if each["rel"] == "self") == own
    assert client.post("collections/sent/items", json=external_item()).status_code == 409
    changed = external_item(properties={"gsd": 10, "platform": "x"})
    assert client.put(own, json=changed).json()["properties"]["gsd"] == 10
    merged = client.patch(own, json={"properties": {"gsd": 20, "platform": None}})
    assert merged.json()["properties"] == {"datetime": "2024-05-06T10:20:30Z", "gsd": 20}
    patch = [{"op": "replace", "path": "/properties/gsd", "value": 30}]
    assert client.patch(own, json=patch).json()["properties"]["gsd"] == 30
    patch = [{"op": "test", "path": "/properties/gsd", "value": 1}]
    assert client.patch(own, json=patch).status_code == 409
    filtered = client.get("search", params={"filter": "gsd = 30", "collections": "sent"})
    assert [each["id"] for each in filtered.json()["features"]] == ["one"]
    assert client.delete(own).status_code == 204
    assert client.get(own).status_code == 404
    assert client.delete(own).status_code == 404


def test_many_items_are_sent_whole_or_not_at_all(client: httpx.Client, sent: Any) -> None:
    several = [external_item(f"n{number}") for number in range(5)]
    broken = [*several, external_item("bad", geometry={"type": "Point", "coordinates": [999, 0]})]
    for features, status in ((broken, 400), ([*several, external_item("one")], 409)):
        answer = client.post(
            "collections/sent/items", json={"type": "FeatureCollection", "features": features}
        )
        assert answer.status_code == status, answer.text
        assert client.get("collections/sent/items").json()["numberMatched"] == 1
    answer = client.post(
        "collections/sent/items", json={"type": "FeatureCollection", "features": several}
    )
    assert answer.status_code == 201
    assert client.get("collections/sent/items").json()["numberMatched"] == 6


def test_a_collection_is_changed_and_removed_with_its_items(client: httpx.Client) -> None:
    own = client.post("collections", json=external_collection()).headers["location"]
    assert client.post("collections", json=external_collection()).status_code == 409
    client.post("collections/sent/items", json=external_item())
    assert client.put(own, json=external_collection(title="New")).json()["title"] == "New"
    assert client.patch(own, json={"title": "Newer"}).json()["title"] == "Newer"
    assert client.get(own).json()["title"] == "Newer"
    assert client.delete(own).status_code == 204
    assert client.get(own).status_code == 404
    assert client.get("search", params={"ids": "one"}).json()["features"] == []
    assert client.put(own, json=external_collection()).status_code == 404


def test_records_of_the_workspace_are_not_changed(client: httpx.Client) -> None:
    own = external_collection("fields-v1")
    assert client.put("collections/fields-v1", json=own).status_code == 409
    assert client.delete("collections/fields-v1").status_code == 409
    item = external_item(collection="fields-v1")
    answer = client.post("collections/fields-v1/items", json=item)
    assert (answer.status_code, answer.json()["code"]) == (409, "Conflict")
    assert "is a record of this workspace" in answer.json()["description"]


def test_the_id_of_a_later_version_is_not_taken(client: httpx.Client) -> None:
    answer = client.post("collections", json=external_collection("fields-v3"))
    assert (answer.status_code, answer.json()["code"]) == (409, "Conflict")
    assert "a version of the dataset fields" in answer.json()["description"]


def test_nobody_learns_where_the_registry_is_from_an_error() -> None:
    error = StorageError("registry postgresql://db.internal failed")
    response = asyncio.run(report_error(Request({"type": "http"}), error))
    assert response.status_code == 503
    assert b"db.internal" not in bytes(response.body)


def test_who_has_no_token_reads_what_is_published_and_changes_nothing(api: str) -> None:
    with httpx.Client(base_url=f"{api}/") as anyone:
        assert anyone.get("collections").json()["collections"] == []
        assert anyone.get("collections/fields-v1").status_code == 404
        # before the body is parsed
        answer = anyone.post("collections", content=b"{")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
        for token in ("x", f"mlops_{'0' * 12}_{'0' * 64}"):
            headers = {"Authorization": f"Bearer {token}"}
            answer = anyone.get("collections", headers=headers)
            assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
            assert answer.json().keys() == {"code", "description"}
            assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize("name", ["a%0Ab", "%0A", "fields-v1%0A", "a%0D%0Ab", "a%00b"])
def test_an_id_with_control_characters_is_not_found(name: str, client: httpx.Client) -> None:
    for path in (f"collections/{name}", f"collections/fields-v1/items/{name}"):
        answer = client.get(path, headers={"Origin": "https://browser.example"})
        assert (answer.status_code, answer.json()["code"]) == (404, "NotFound"), path
        assert answer.json().keys() == {"code", "description"}
        assert answer.headers["access-control-allow-origin"] == "*"


@pytest.mark.parametrize(
    "parameters",
    [
        {"bbox": "nan,0,1,1"},
        {"bbox": "0,0,1"},
        {"bbox": "0,5,1,-5"},
        {"bbox": "0,0,5,1,1,2"},
        {"bbox": "0,0,1,1", "intersects": json.dumps(SQUARE)},
        {"intersects": "{"},
        {"intersects": '{"type": "Polygon", "coordinates": [[[0, 0], [1, 1]]]}'},
        {"intersects": '{"type": "Square"}'},
        {"intersects": '{"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 1], [0, 1]]]}'},
        {"intersects": "[" * 5_000},
        {"datetime": "yesterday"},
        {"datetime": "2024-02-01T00:00:00Z/2024-01-01T00:00:00Z"},
        {"ids": "a\x00b"},
        {"ids": "x" * 300},
        {"limit": "0"},
        {"filter": "id = "},
        {"filter": "(" * 3_000},
        {"filter": "id = 'x'; DROP TABLE stac_items"},
        {"filter": "S_INTERSECTS(geometry, POINT(0 0)) OR id = 'x'"},
        {"filter": "id = 'x'", "filter-lang": "cql2-json"},
        {"filter": "id = 'x'", "filter-crs": "http://www.opengis.net/def/crs/EPSG/0/3857"},
        {"filter": json.dumps(DEEP), "filter-lang": "cql2-json"},
        {"filter": '{"op": "=", "args": []}', "filter-lang": "cql2-json"},
        {"sortby": 'properties."x'},
        {"token": "e30"},
        {"datetime": "0001-01-01T00:00:00+14:00"},
        {"datetime": "../9999-12-31T23:59:59-14:00"},
        {"filter": "datetime > TIMESTAMP('0001-01-01T00:00:00+14:00')"},
        {"filter": "title = 'a\x00'"},
        *(
            {
                "filter": json.dumps({"op": "=", "args": [{"property": "x"}, value]}),
                "filter-lang": "cql2-json",
            }
            for value in (10**30, "\ud800")
        ),
    ],
    ids=lambda parameters: str(parameters)[:50],
)
def test_a_search_that_is_not_valid_is_refused(
    parameters: dict[str, str], client: httpx.Client
) -> None:
    answer = client.get("search", params=parameters)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"code", "description"}
    assert len(answer.json()["description"]) > 10


def test_patches_at_once_are_all_kept(client: httpx.Client, sent: Any) -> None:
    own = sent.headers["location"]

    def patch(number: int) -> int:
        return client.patch(own, json={"properties": {f"x{number}": number}}).status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(patch, range(24))) == {200}
    assert client.get(own).json()["properties"].items() >= {f"x{n}": n for n in range(24)}.items()


def test_a_parameter_that_is_not_known_is_refused(client: httpx.Client, sent: Any) -> None:
    query = {"gsd": {"eq": 10}}
    for answer in (
        client.post("search", json={"query": query}),
        client.get("search", params={"query": json.dumps(query)}),
        client.get("collections/sent/items", params={"ids": "a"}),
        client.get("collections", params={"bbox": "0,0,1,1"}),
    ):
        assert answer.status_code == 400, answer.text
        assert "cannot be a parameter here" in answer.json()["description"]


@pytest.mark.parametrize(
    "change",
    [
        {"id": "a/b"},
        {"id": "a\nb"},
        {"id": "ü" * 150},
        {"id": ""},
        {"id": 7},
        {"collection": "other"},
        {
            "geometry": {
                "type": "Polygon",
                "coordinates": [[[0, 0], [1, 1], [0, 1], [1, 0], [0, 0]]],
            }
        },
        {"geometry": {"type": "Point", "coordinates": [200, 0]}},
        {"properties": {"datetime": None}},
        {"properties": {"datetime": "soon"}},
        {"properties": {"datetime": "0001-01-01T00:00:00+14:00"}},
        {"properties": {"datetime": "2024-05-06T10:20:30Z", "x": float("nan")}},
        {"properties": {"datetime": "2024-05-06T10:20:30Z", "x": 10**30}},
        {"properties": {"datetime": "2024-05-06T10:20:30Z", "title": "\ud800"}},
        {"properties": {"datetime": "2024-05-06T10:20:30Z", "title": "a\x00"}},
        {"properties": {"datetime": "2024-05-06T10:20:30Z", "filter": DEEP}},
    ],
    ids=str,
)
def test_an_item_that_is_not_valid_is_refused(
    change: dict[str, Any], client: httpx.Client, sent: Any
) -> None:
    document = external_item("new") | change
    answer = client.post("collections/sent/items", content=json.dumps(document), headers=AS_JSON)
    assert answer.status_code == 400, answer.text
    assert set(answer.json()) == {"code", "description"}
    assert client.get("collections/sent/items").json()["numberMatched"] == 1


@pytest.mark.parametrize("sortby", ["", "properties.created"])
@pytest.mark.parametrize(
    "forged",
    [[], ["x"] * 4, [5], [True], [10**30], [2**63], [float("nan")], ["\ud800"], [[1]], [{"x": 1}]],
    ids=str,
)
def test_a_forged_token_is_refused(sortby: str, forged: list[Any], client: httpx.Client) -> None:
    search = {"limit": "1", "sortby": sortby} if sortby else {"limit": "1"}
    (following,) = (
        each["href"]
        for each in client.get("search", params=search).json()["links"]
        if each["rel"] == "next"
    )
    token = parse_qs(urlsplit(following).query)["token"][0]
    digest, _, *others = json.loads(base64.urlsafe_b64decode(token + "=="))
    content = [digest, *forged, *(others if len(forged) == 1 else [])]
    token = base64.urlsafe_b64encode(json.dumps(content).encode()).decode()
    answer = client.get("search", params={**search, "token": token})
    # a number is a value of a property, not of a time
    allowed = {400, 200} if sortby and forged == [5] else {400}
    assert answer.status_code in allowed, answer.text


def test_a_patch_does_not_grow_a_record_without_limit(client: httpx.Client, sent: Any) -> None:
    own = sent.headers["location"]
    copies = [
        {"op": "copy", "from": "/properties", "path": f"/properties/x{number}"}
        for number in range(40)
    ]
    many = [{"op": "add", "path": "/properties/x", "value": 1}] * 1_001
    onto_text = [{"op": "add", "path": "/id/x/y", "value": 1}]
    for patch in (copies, many, onto_text):
        assert client.patch(own, json=patch).status_code == 400
    assert client.get(own).json()["properties"] == external_item()["properties"]


def test_a_body_that_is_too_large_is_refused(client: httpx.Client, sent: Any) -> None:
    large = external_item("large", properties={"text": "x" * (10 << 20)})
    own = client.base_url.join("collections/sent/items")
    answer = httpx.post(own, json=large, headers=HEADERS)  # the server ends the connection
    assert (answer.status_code, answer.json()["code"]) == (413, "TooLarge")
    several = {"type": "MultiPoint", "coordinates": [[0, 0]] * 20_001}
    for body in ({"intersects": several}, {"q": ["x"] * 101}):
        assert client.post("search", json=body).status_code == 400
    assert client.post("search", json={"ids": ["x" * 600_000]}).status_code == 413
    packed = gzip.compress(b"{}")
    answer = client.post("search", content=packed, headers=AS_JSON | {"Content-Encoding": "gzip"})
    assert (answer.status_code, answer.json()["code"]) == (415, "Compressed")
    for content in (b"[" * 100_000, b"[]", b"\xff", b'{"fields": null}'):
        for headers in ({}, {"Content-Type": "application/json"}):
            assert client.post("search", content=content, headers=headers).status_code == 400
    assert client.post("search", json={"bbox": [0, 0, 1, 1], "limit": "many"}).status_code == 400


@pytest.mark.parametrize(
    ("operator", "arguments"),
    [
        ("=", [{"property": "gsd"}, float("nan")]),
        ("=", [{"op": "casei", "args": []}, "a"]),
        ("=", [{"op": "casei", "args": [{"property": "id"}] * 2}, "a"]),
        ("in", [{"property": "id"}, ["x"] * 10_001]),
        ("like", [{"property": "description"}, "%_" * 501]),
        ("and", [{"op": "s_intersects", "args": [{"property": "geometry"}, SQUARE]}] * 21),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_filter_by_post_that_is_not_valid_is_refused(
    operator: str, arguments: list[Any], client: httpx.Client
) -> None:
    body = json.dumps({"filter": {"op": operator, "args": arguments}})
    answer = client.post("search", content=body, headers=AS_JSON)
    assert answer.status_code == 400, answer.text
    assert answer.json()["description"].startswith("the filter ")


def test_filters_by_post_are_text_or_json(client: httpx.Client, sent: Any) -> None:
    as_text = {"filter": "id = 'one'", "filter-lang": "cql2-text"}
    as_json = {"filter": {"op": "=", "args": [{"property": "id"}, "one"]}}
    for body in (as_text, as_json, {"filter": "id = 'one'"}):
        found = client.post("search", json=body).json()["features"]
        assert [each["id"] for each in found] == ["one"]


def test_pages_are_followed_by_get_and_by_post(api: str, recorded: Store) -> None:
    client = Client.open(api, headers=HEADERS)
    for method in ("GET", "POST"):
        found = client.search(method=method, limit=1, sortby="-properties.created,id")
        ids = [each.id for each in found.items()]
        assert len(ids) == len(set(ids)) == found.matched()
        assert len(ids) > 3


def test_a_page_ends_where_it_would_be_too_large(
    client: httpx.Client, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup, "MAX_PAGE", 50_000)
    monkeypatch.setattr(lookup, "_AT_ONCE", 2)
    items = [external_item(f"large{n}", title="x" * 20_000) for n in range(8)]
    several = {"type": "FeatureCollection", "features": items}
    assert client.post("collections/sent/items", json=several).status_code == 201
    for path in (
        "collections/sent/items?limit=100",
        "search?collections=sent&bbox=-180,-90,180,90&limit=7",
    ):
        pages = []
        following: str | None = path
        while following:
            page = client.get(following).json()
            pages.append([item["id"] for item in page["features"]])
            links = [link["href"] for link in page["links"] if link["rel"] == "next"]
            following = links[0] if links else None
        assert [len(page) for page in pages] == [4, 3, 2]
        assert len({name for page in pages for name in page}) == 9
    monkeypatch.setattr(lookup, "MAX_PAGE", 10)
    assert len(client.get("search?collections=sent&limit=100").json()["features"]) == 1


def test_a_page_of_collections_ends_where_it_would_be_too_large(
    client: httpx.Client, sent: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = {each["id"] for each in client.get("collections").json()["collections"]}
    monkeypatch.setattr(lookup, "MAX_PAGE", 10)
    found = []
    following: str | None = "collections"
    while following:
        page = client.get(following).json()
        (only,) = page["collections"]
        found.append(only["id"])
        links = [link["href"] for link in page["links"] if link["rel"] == "next"]
        following = links[0] if links else None
    assert (len(found), set(found)) == (len(known), known)


def test_links_begin_with_the_public_url(recorded: Store) -> None:
    public = "https://catalogue.example.org/mlops"
    with hub(recorded, base_url=public) as url, httpx.Client(headers=HEADERS) as client:
        for path in ("", "/collections", "/collections/cover/items", "/search?limit=1"):
            document = client.get(f"{url}/stac{path}").json()
            listed = [document, *document.get("collections", []), *document.get("features", [])]
            links = [each["href"] for found in listed for each in found["links"]]
            assert links
            assert [href for href in links if not href.startswith(f"{public}/stac/")] == []


def test_links_to_files_begin_with_the_url_of_files(recorded: Store) -> None:
    files = "https://files.example.org/workspace"
    with hub(recorded, files_url=f"{files}/") as url, httpx.Client(headers=HEADERS) as client:
        (item,) = client.get(f"{url}/stac/collections/cover/items").json()["features"]
    model = item["assets"]["model"]["href"]
    assert recorded.workspace.exists(model.removeprefix(f"{files}/"))


def test_links_lead_to_records_and_files(client: httpx.Client, recorded: Store) -> None:
    (item,) = client.get("collections/cover/items").json()["features"]
    derived = {each["href"] for each in item["links"] if each["rel"] == "derived_from"}
    assert {client.get(href).json()["id"] for href in derived} == {"scenes-v1"}
    model = item["assets"]["model"]["href"].removeprefix(f"{recorded.workspace.url}/")
    assert recorded.workspace.exists(model)
    newer = client.get("collections/fields-v2").json()
    (older,) = (each["href"] for each in newer["links"] if each["rel"] == "predecessor-version")
    assert client.get(older).json()["id"] == "fields-v1"
    assert recorded.workspace.exists(dataset_collection_key("fields", "v1"))
