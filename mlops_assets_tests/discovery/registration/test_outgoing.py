from __future__ import annotations

from mlops_assets.discovery.links import Addresses
from mlops_assets.discovery.registration.outgoing import outgoing, withdrawn
from mlops_assets.registry.records.lookup import FoundRecord
from mlops_assets.stac.catalog import VERSION
from mlops_assets_tests.discovery.external import external_collection, external_item

ADDRESSES = Addresses("https://other.example/stac/", "s3://bucket/our%20team")


def test_a_record_leads_to_the_other_catalogue_and_to_our_files() -> None:
    item = external_item(
        "crops-v2-1f0c9a2b",
        "crops",
        links=[
            {"rel": "root", "href": "../../../catalog.json"},
            {"rel": "collection", "href": "../collection.json"},
            {"rel": "predecessor-version", "href": "../v1-0a/v1-0a.json", "title": "before"},
            {"rel": "derived_from", "href": "../../../datasets/fields/v2/collection.json"},
            {"rel": "cite-as", "href": "https://doi.org/10.4231/R7RX991C"},
        ],
        assets={
            "model": {
                "href": "../../../../models/crops/v2-1f0c9a2b/model 1.onnx",
                "file:size": 7,
            },
            "source": {"href": "https://example.org/code.tar.gz"},
        },
    )
    record = FoundRecord(item, "catalog/models/crops/v2-1f0c9a2b/v2-1f0c9a2b.json")
    sent = outgoing(record, ADDRESSES)
    assert sent["links"] == [
        {
            "rel": "predecessor-version",
            "href": "https://other.example/stac/collections/crops/items/crops-v1-0a",
            "title": "before",
        },
        {
            "rel": "derived_from",
            "href": "https://other.example/stac/collections/fields-v2",
        },
        {"rel": "cite-as", "href": "https://doi.org/10.4231/R7RX991C"},
    ]
    assert sent["assets"] == {
        "model": {
            "href": "s3://bucket/our%20team/models/crops/v2-1f0c9a2b/model%201.onnx",
            "file:size": 7,
        },
        "source": {"href": "https://example.org/code.tar.gz"},
    }
    others = sent.keys() - {"links", "assets"}
    assert {name: sent[name] for name in others} == {name: item[name] for name in others}


def test_what_is_withdrawn_is_deprecated_and_says_so_by_the_extension_once() -> None:
    api = "https://other.example/stac/"
    kept = [
        {"rel": "derived_from", "href": f"{api}collections/fields-v2"},
        {"rel": "license", "href": "https://other.example/license"},
    ]
    own = [
        {"rel": "self", "href": "https://other.example/one"},
        {"rel": "http://www.opengis.net/def/rel/ogc/1.0/queryables", "href": f"{api}queryables"},
        {"rel": "preview", "href": f"{api}collections/fields-v2/items/one/map"},
    ]
    item = external_item(links=[*own, *kept])
    gone = withdrawn(withdrawn(item, api), api)
    assert gone == {
        **item,
        "stac_extensions": [VERSION],
        "links": kept,
        "properties": {"datetime": "2024-05-06T10:20:30Z", "deprecated": True},
    }
    collection = external_collection()
    assert withdrawn(collection, api) == {
        **collection,
        "stac_extensions": [VERSION],
        "deprecated": True,
    }
