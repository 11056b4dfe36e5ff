"""Links of the STAC API's documents: those of the static catalogue, as URLs.

Links to records lead to the API, all others to the workspace, whose rights protect the bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from mlops_assets.paths import (
    CATALOG_ROOT,
    DATASET_COLLECTION,
    MAP_COLLECTION,
    MAP_ITEM,
    MODEL_COLLECTION,
    MODEL_ITEM,
)
from mlops_assets.registry.records.lookup import FoundRecord, target_of
from mlops_assets.text.json_values import Json, JsonObject

GEOJSON = "application/geo+json"
JSON = "application/json"
QUERYABLES = "http://www.opengis.net/def/rel/ogc/1.0/queryables"
SORTABLES = "http://www.opengis.net/def/rel/ogc/1.0/sortables"
# made anew, as they are those of a static catalogue
STRUCTURAL = frozenset({"self", "root", "parent", "collection", "items", "item", "child"})


@dataclass(frozen=True)
class Addresses:
    """The addresses of records and of their files.

    Attributes:
        api: URL of the landing page, with a slash at its end.
        workspace: URL of the workspace.
    """

    api: str
    workspace: str

    def collection(self, name: str) -> str:
        """Return the URL of a Collection."""
        return f"{self.api}collections/{quote(name, safe='')}"

    def item(self, collection: str, name: str) -> str:
        """Return the URL of an Item."""
        return f"{self.collection(collection)}/items/{quote(name, safe='')}"

    def linked_collection(self, record: FoundRecord) -> JsonObject:
        """Return a Collection with links of the API."""
        name = str(record.document["id"])
        own = self.collection(name)
        links: list[Json] = [
            link("self", own, JSON),
            link("root", self.api, JSON),
            link("parent", self.api, JSON),
            link("items", f"{own}/items", GEOJSON),
            link(QUERYABLES, f"{own}/queryables", "application/schema+json", title="Queryables"),
            link(SORTABLES, f"{own}/sortables", "application/schema+json", title="Sortables"),
        ]
        return self.linked(record, links)

    def linked_item(self, record: FoundRecord) -> JsonObject:
        """Return an Item with links of the API."""
        collection = str(record.document["collection"])
        return self.linked(
            record,
            [
                link("self", self.item(collection, str(record.document["id"])), GEOJSON),
                link("root", self.api, JSON),
                link("parent", self.collection(collection), JSON),
                link("collection", self.collection(collection), JSON),
            ],
        )

    def linked(self, record: FoundRecord, links: Sequence[Json]) -> JsonObject:
        """Return a record with addresses instead of keys.

        Args:
            record: as published or sent.
            links: instead of those of a static catalogue; all others stay.
        """
        document = record.document
        others = [
            {**given, "href": self._href(record.key, str(given["href"]))}
            for given in objects(document.get("links"))
            if given.get("rel") not in STRUCTURAL and isinstance(given.get("href"), str)
        ]
        found: JsonObject = {**document, "links": [*links, *others]}
        assets = document.get("assets")
        if isinstance(assets, dict):
            found["assets"] = {
                name: {**asset, "href": self._file(record.key, str(asset.get("href", "")))}
                for name, asset in assets.items()
                if isinstance(asset, dict)
            }
        return found

    def _href(self, key: str | None, href: str) -> str:
        """Return where a link leads to: to a record of the API, if that is where it led to."""
        target = target_of(key, href)
        if target is None:
            return href
        if match := DATASET_COLLECTION.fullmatch(target):
            return self.collection(f"{match[1]}-{match[2]}")
        if match := MODEL_COLLECTION.fullmatch(target):
            return self.collection(match[1])
        if match := MODEL_ITEM.fullmatch(target):
            return self.item(match[1], f"{match[1]}-{match[2]}")
        if match := MAP_COLLECTION.fullmatch(target):
            return self.collection(match[1])
        if match := MAP_ITEM.fullmatch(target):
            return self.item(match[1], match[4])
        if target == CATALOG_ROOT:
            return self.api
        return self._file(key, href)

    def _file(self, key: str | None, href: str) -> str:
        target = target_of(key, href)
        return href if target is None else f"{self.workspace}/{quote(target)}"


def link(rel: str, href: str, media: str | None = None, **extra: Json) -> JsonObject:
    """Return a link."""
    typed: JsonObject = {} if media is None else {"type": media}
    return {"rel": rel, "href": href, **typed, **extra}


def without_structural_links(document: JsonObject) -> JsonObject:
    """Return a record without the links that a catalogue makes itself."""
    kept: list[Json] = [
        each for each in objects(document.get("links")) if each.get("rel") not in STRUCTURAL
    ]
    return {**document, "links": kept}


def objects(values: Json | None) -> list[JsonObject]:
    """Return the objects of a list; nothing of anything else."""
    return (
        [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
    )
