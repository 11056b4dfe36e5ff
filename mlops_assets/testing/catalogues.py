"""The contract of a catalogue that takes records: putting, comparing and deleting them."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator

import pytest

from mlops_assets.discovery.registration.catalogue import Catalogue, CatalogueError
from mlops_assets.discovery.registration.comparison import differences
from mlops_assets.text.json_values import Json, JsonObject

# legal in a STAC API, where a URL has to escape them
ODD_IDS = ["a b", "a%20b", "a%2Fb", "ä-日本", "a|b^c", "a..b~c", "x" * 200]


def contract_collection(name: str, description: str = "Records of a contract.") -> JsonObject:
    """Return a Collection."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "description": description,
        "license": "CC-BY-4.0",
        "extent": {
            "spatial": {"bbox": [[9.5, 47.0, 10.5, 48.0]]},
            "temporal": {"interval": [["2024-01-01T00:00:00Z", None]]},
        },
        "links": [{"rel": "about", "href": "https://example.org/about", "title": "about it"}],
    }


def contract_item(collection: str, name: str, **properties: Json) -> JsonObject:
    """Return an Item, with values that catalogues write in their own ways."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "geometry": {
            "type": "Polygon",
            "coordinates": [
                [[9.5, 47.0], [10.5, 47.0], [10.5, 48.123456789012], [9.5, 48.0], [9.5, 47.0]]
            ],
        },
        "bbox": [9.5, 47.0, 10.5, 48.123456789012],
        "properties": {
            "datetime": "2024-05-06T10:20:30.123456Z",
            "title": "Crops of the valley",
            "large": 2**53 - 1,
            "small": 1.5e-7,
            "whole": 3.0,
            "nested": {"list": [1, [2.5, "three"], {"four": True}], "nothing": None},
            **properties,
        },
        "assets": {
            "model": {
                "href": "s3://bucket/models/crops/v1-0a/model%201.onnx",
                "type": "application/octet-stream; framework=onnx",
                "roles": ["mlm:model"],
                "file:size": 12_345,
            }
        },
        "links": [
            {
                "rel": "derived_from",
                "href": "https://example.org/stac/collections/fields-v1",
                "type": "application/json",
            }
        ],
    }


class CatalogueContract:
    """The guarantees of a catalogue that registration relies on.

    Subclass it, and override the fixtures `catalogue` and `unreachable`.

    Attributes:
        found: Items that are found at once, more than one request of the catalogue returns.
    """

    found = 120

    @pytest.fixture
    def catalogue(self) -> Catalogue:
        """Return a catalogue that takes records."""
        pytest.fail("override the fixture 'catalogue': return a catalogue that takes records")

    @pytest.fixture
    def unreachable(self) -> Callable[[str], Catalogue]:
        """Return a function that opens a catalogue of this kind at a URL, where none is."""
        pytest.fail("override the fixture 'unreachable': return what opens a catalogue at a URL")

    @pytest.fixture
    def collection(self, catalogue: Catalogue) -> Iterator[str]:
        """A Collection of the catalogue, for one test."""
        catalogue.put([contract_collection("contract")])
        yield "contract"
        catalogue.delete("contract")

    def test_what_was_put_is_found_and_equal(self, catalogue: Catalogue, collection: str) -> None:
        item = contract_item(collection, "one")
        catalogue.put([item])
        assert _difference(catalogue, item) == []
        assert _difference(catalogue, contract_collection(collection)) == []

    def test_putting_again_changes_nothing(self, catalogue: Catalogue, collection: str) -> None:
        item = contract_item(collection, "one")
        for _ in range(2):
            catalogue.put([contract_collection(collection)])
            catalogue.put([item])
        assert _difference(catalogue, item) == []

    def test_a_changed_record_replaces_the_former_one(
        self, catalogue: Catalogue, collection: str
    ) -> None:
        catalogue.put([contract_item(collection, "one", left="over")])
        changed = contract_item(collection, "one", title="Crops of the hills")
        changed["links"] = []
        catalogue.put([changed])
        assert _difference(catalogue, changed) == []
        described = contract_collection(collection, "Other records.")
        catalogue.put([described])
        assert _difference(catalogue, described) == []
        assert _difference(catalogue, changed) == [], "its Collection's change has changed it"

    def test_many_items_are_put_at_once_new_and_known(
        self, catalogue: Catalogue, collection: str
    ) -> None:
        catalogue.put([contract_item(collection, "item-3", title="before")])
        items = [contract_item(collection, f"item-{number}") for number in range(12)]
        catalogue.put(items)
        assert [found for item in items for found in _difference(catalogue, item)] == []

    def test_many_items_are_found_at_once_as_one_by_one(
        self, catalogue: Catalogue, collection: str
    ) -> None:
        names = [*ODD_IDS, *(f"item-{number}" for number in range(self.found))]
        items = [contract_item(collection, name, title=f"record {name}") for name in names]
        catalogue.put(items)
        catalogue.put([contract_collection("contract-2")])
        catalogue.put([contract_item("contract-2", "elsewhere")])
        found = catalogue.find(collection, [*names, "never-sent", "elsewhere"])
        catalogue.delete("contract-2")
        assert found.keys() == {*names}
        different = [differences(item, found[str(item["id"])]) for item in items]
        assert not any(different), [each for each in different if each]
        assert found["item-3"] == catalogue.get(collection, "item-3")
        assert catalogue.find(collection, []) == {}
        assert catalogue.find("no-contract", ["item-3"]) == {}

    def test_what_a_catalogue_does_not_have_is_none(
        self, catalogue: Catalogue, collection: str
    ) -> None:
        assert catalogue.get("no-contract") is None
        assert catalogue.get("no-contract", "one") is None
        assert catalogue.get(collection, "one") is None

    def test_what_was_deleted_is_gone_and_deleted_again(
        self, catalogue: Catalogue, collection: str
    ) -> None:
        assert catalogue.is_empty(collection)
        catalogue.put([contract_item(collection, name) for name in ("one", "two")])
        for _ in range(2):
            catalogue.delete(collection, "one")
            assert catalogue.get(collection, "one") is None
        assert not catalogue.is_empty(collection)
        assert _difference(catalogue, contract_item(collection, "two")) == []
        for _ in range(2):
            catalogue.delete(collection)
            assert catalogue.get(collection) is None
            assert catalogue.get(collection, "two") is None

    def test_an_item_without_its_collection_is_refused_and_taken_after_it(
        self, catalogue: Catalogue, collection: str
    ) -> None:
        catalogue.delete(collection)
        item = contract_item(collection, "one")
        with pytest.raises(CatalogueError):
            catalogue.put([item])
        catalogue.put([contract_collection(collection)])
        catalogue.put([item])
        assert _difference(catalogue, item) == []

    @pytest.mark.parametrize("name", ODD_IDS)
    def test_odd_ids_are_kept(self, catalogue: Catalogue, collection: str, name: str) -> None:
        item = contract_item(collection, name)
        for _ in range(2):
            catalogue.put([item])
        assert _difference(catalogue, item) == []
        catalogue.delete(collection, name)
        assert catalogue.get(collection, name) is None

    def test_an_item_of_another_collection_stays_there(
        self, catalogue: Catalogue, collection: str
    ) -> None:
        first = contract_item(collection, "one")
        catalogue.put([first])
        catalogue.put([contract_collection("contract-2")])
        try:
            catalogue.put([contract_item("contract-2", "one", title="another")])
        except CatalogueError as error:
            assert not error.temporary
        catalogue.delete("contract-2", "one")
        catalogue.delete("contract-2")
        assert _difference(catalogue, first) == []

    def test_an_outage_is_an_error_that_a_later_attempt_can_remedy(
        self, unreachable: Callable[[str], Catalogue]
    ) -> None:
        with socket.socket() as taken:
            # bound, but nothing listens
            taken.bind(("127.0.0.1", 0))
            catalogue = unreachable(f"http://127.0.0.1:{taken.getsockname()[1]}")
            calls: list[Callable[[], object]] = [
                lambda: catalogue.put([contract_collection("contract")]),
                lambda: catalogue.get("contract", "one"),
                lambda: catalogue.find("contract", ["one", "two"]),
                lambda: catalogue.delete("contract", "one"),
            ]
            for call in calls:
                with pytest.raises(CatalogueError, match=r"127\.0\.0\.1") as raised:
                    call()
                assert raised.value.temporary


def _difference(catalogue: Catalogue, sent: JsonObject) -> list[str]:
    """Return where what a catalogue returns is another record than was sent."""
    collection = sent.get("collection")
    name = str(sent["id"])
    where = (name,) if collection is None else (str(collection), name)
    found = catalogue.get(*where)
    return [f"{name} is not there"] if found is None else differences(sent, found)
