"""The catalogue of a workspace as the STAC API serves it, read by pystac-client."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from pystac_client import Client
from sqlalchemy import delete, select

from mlops_assets.errors import Conflict
from mlops_assets.paths import Owner, dataset_collection_key
from mlops_assets.prediction.maps.publish import publish_map
from mlops_assets.registry.records.rows import PublishedRecords, published_rows
from mlops_assets.registry.schema import StacCollection, StacItem
from mlops_assets.stac.found_records import add_published
from mlops_assets.store import Store
from mlops_assets_tests.hub.serving import TOKEN
from mlops_assets_tests.prediction.maps.made import area_map

HEADERS = {"Authorization": f"Bearer {TOKEN}"}


def test_pystac_client_finds_models_by_framework_and_task(api: str, recorded: Store) -> None:
    client = Client.open(api, headers=HEADERS)
    found = client.search(
        filter="mlm:framework = 'PyTorch' AND A_CONTAINS(mlm:tasks, ('classification'))"
    )
    (item,) = found.items()
    (row,) = recorded.registry.model_versions("cover")
    assert (item.id, item.collection_id) == (f"cover-{row.version}", "cover")
    assert found.matched() == 1


def test_records_of_an_older_workspace_are_found_once_they_are_added(recorded: Store) -> None:
    def found() -> dict[str, str | None]:
        with recorded.registry.reading() as session:
            return {
                f"{table.__tablename__} {name}": sha256
                for table in (StacCollection, StacItem)
                for name, sha256 in session.execute(select(table.id, table.sha256))
            }

    expected = found()
    assert {"stac_collections fields-v2", "stac_collections cover"} <= expected.keys()
    assert add_published(recorded.workspace, recorded.registry) == 0
    with recorded.registry.transaction("forget records") as session:
        session.execute(delete(StacItem))
        session.execute(delete(StacCollection).where(StacCollection.id != "cover"))
    assert add_published(recorded.workspace, recorded.registry) == len(expected) - 1
    assert found() == expected


def test_a_record_is_found_with_its_publication_or_not_at_all(recorded: Store) -> None:
    key = dataset_collection_key("fields", "v1")
    document = json.loads(recorded.workspace.get(key)) | {"id": "cover"}  # the id of a model
    file = recorded.workspace.put("catalog/other.json", b"{}")
    rows = published_rows({"catalog/other.json": json.dumps(document).encode()})
    with pytest.raises(Conflict, match="a Collection cover exists already"):
        recorded.registry.add_records(PublishedRecords({Owner("record:x"): [file]}, rows))
    assert recorded.registry.files_at("catalog/other.json") == []


@pytest.mark.parametrize("path", ["", "collections/fields-v1", "search"])
def test_a_head_request_returns_the_headers_of_a_document(path: str, client: httpx.Client) -> None:
    answer = client.head(path)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["content-length"] == client.get(path).headers["content-length"]


def test_what_can_be_sorted_by_is_linked_with_its_own_address(client: httpx.Client) -> None:
    relation = "http://www.opengis.net/def/rel/ogc/1.0/sortables"
    for path in ("", "collections/fields-v1"):
        links = client.get(path).json()["links"]
        (own,) = (each["href"] for each in links if each["rel"] == relation)
        assert client.get(own).json()["$id"] == own
    own = str(client.base_url.join("collections-sortables"))
    document = client.get(own).json()
    assert (document["$id"], document["properties"]) == (own, {})


def test_maps_are_found_by_place_and_lead_to_their_model_and_scenes(
    recorded: Store, client: httpx.Client, tmp_path: Path
) -> None:
    (row,) = recorded.registry.model_versions("cover")
    made = publish_map(recorded, area_map(tmp_path, row))
    request = {"bbox": [10.3, 47.8, 10.4, 47.9], "datetime": "2026-05-01T10:31:00Z"}
    (item,) = client.post("search", json=request).json()["features"]
    assert (item["collection"], item["id"]) == ("valley", made.item)
    assert client.post("search", json={**request, "bbox": [0, 0, 1, 1]}).json()["features"] == []
    model, plain, scene = (each for each in item["links"] if each["rel"] == "derived_from")
    assert client.get(model["href"]).json()["id"] == f"cover-{row.version}"
    assert [plain["href"], scene["href"]] == [
        "file:///scenes/S2_T32.tif",
        "https://eo.example/items/S2_T33?token=***",
    ]
    (parent,) = (each["href"] for each in item["links"] if each["rel"] == "collection")
    assert client.get(parent).json()["title"] == "valley"
    key = f"predictions/cover/{row.version}/valley/2026-05-01.tif"
    assert item["assets"]["map"]["href"] == f"{recorded.workspace.url}/{key}"
