"""Records of maps in the catalogue: their Items, and a Collection for each area.

Maps that are of no area are in a Collection of their model.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, cast

import pystac

from mlops_assets.datasets.versions.extents import enclosing
from mlops_assets.datasets.versions.manifest import item_id
from mlops_assets.paths import (
    CATALOG_OWNER,
    MAP_ITEM,
    catalog_folder,
    catalog_root_of,
    map_collection_key,
    map_document_key,
    maps_owner,
)
from mlops_assets.registry import ModelVersion
from mlops_assets.registry.records.lookup import target_of
from mlops_assets.stac.catalog import CatalogWriter, is_private, link, plain, record_key
from mlops_assets.stac.extents import WHOLE_WORLD
from mlops_assets.stac.maps.document import MapDocument
from mlops_assets.stac.maps.item import item_key, map_item, model_link
from mlops_assets.storage import FileStat, sha256_of

_UNKNOWN_PLACE = "unknown; the whole world, as STAC demands a bounding box"


def collection_of(row: ModelVersion, area: str | None) -> str:
    """Return the id of the Collection of the maps of an area, or of a model's others."""
    return area or f"{row.model}-maps"


def item_of(row: ModelVersion, name: str) -> str:
    """Return the id of the Item of a map by its name, which no other Item has."""
    return f"{row.model}-{row.version}-{item_id(name.replace('/', '-'))}"


def add_map_record(writer: CatalogWriter, row: ModelVersion, document: MapDocument) -> None:
    """Add the Item of a map to a writer, and the links to it.

    Args:
        writer: receives them.
        row: the model version.
        document: of the map.
    """
    private = is_private(row)
    content = document.content()
    path = map_document_key(document.model, document.version, document.name)
    own = FileStat(path, sha256_of(content), len(content))
    model_item = record_key(row) if writer.has(record_key(row)) else None
    key = item_key(document, private)
    writer.write(
        key,
        map_item(document, own, private, model_item),
        maps_owner(document.model, document.version),
    )
    collection = map_collection_key(document.collection, private)
    items = _items(writer, collection)
    _write_collection(writer, collection, [*items, key], {key})
    writer.write_root(private)


def link_maps(writer: CatalogWriter, row: ModelVersion) -> None:
    """Link the Items of maps to that of their model version, which is recorded after them.

    Args:
        writer: has the record of the model version.
        row: the model version.
    """
    owner = maps_owner(row.model, row.version)
    for file in writer.registry.files(owner):
        item = writer.read(file.path)
        made_by = model_link(row.model, file.path, record_key(row))
        if made_by not in item["links"]:
            writer.write(file.path, {**item, "links": [*item["links"], made_by]}, owner)


def move_maps(writer: CatalogWriter, row: ModelVersion) -> None:
    """Move the records of the maps of a model version to the catalogue that they belong in.

    Args:
        writer: has the records.
        row: the model version, as visible as it is to be.
    """
    owner = maps_owner(row.model, row.version)
    old, new = catalog_folder(not is_private(row)), catalog_folder(is_private(row))
    moved: dict[str, list[str]] = {}
    for file in writer.registry.files(owner):
        found = MAP_ITEM.fullmatch(file.path)
        if found is not None and file.path.startswith(f"{old}/"):
            key = f"{new}{file.path.removeprefix(old)}"
            # both catalogues have the same form, so that relative links need no change
            writer.write(key, writer.read(file.path), owner)
            writer.drop(file.path)
            moved.setdefault(found[1], []).append(key)
    for collection, keys in moved.items():
        for private in (False, True):
            parent = map_collection_key(collection, private)
            items = _items(writer, parent)
            if private == is_private(row):
                items += keys
            if items:
                _write_collection(writer, parent, items, set(items))
            else:
                writer.drop(parent)
    for private in (False, True) if moved else ():
        writer.write_root(private)


def _items(writer: CatalogWriter, collection: str) -> list[str]:
    """Return the keys of the Items of a Collection that are in its catalogue."""
    if not writer.has(collection):
        return []
    links = writer.read(collection)["links"]
    keys = [target_of(collection, str(each["href"])) for each in links if each["rel"] == "item"]
    return [key for key in keys if key is not None and key not in writer.dropped]


def _write_collection(
    writer: CatalogWriter, key: str, items: Iterable[str], read: set[str]
) -> None:
    """Write the Collection of maps.

    Args:
        writer: has its Items.
        key: of the Collection.
        items: keys of its Items.
        read: of those that its extent is made from; if these are not all, the extent that it has is
            widened by them.
    """
    items = sorted(set(items))
    documents = [cast(dict[str, Any], writer.read(each)) for each in items if each in read]
    name = str(documents[0]["collection"])
    boxes = [document["bbox"] for document in documents if "bbox" in document]
    times = [moment for each in documents for moment in _interval(each["properties"])]
    if len(documents) < len(items):
        before = cast(dict[str, Any], writer.read(key))
        if "mlops:extent" not in before:
            boxes += before["extent"]["spatial"]["bbox"]
        times += map(datetime.fromisoformat, before["extent"]["temporal"]["interval"][0])
    of_model = name.removesuffix("-maps")
    is_area = "mlops:area" in documents[0]["properties"]
    described = f"Maps of the area {name}." if is_area else f"Maps by the model {of_model}."
    collection = pystac.Collection(
        id=name,
        title=name if is_area else f"{of_model}, maps",
        description=described,
        license="other",
        extent=pystac.Extent(
            pystac.SpatialExtent([enclosing(boxes) if boxes else WHOLE_WORLD]),
            pystac.TemporalExtent([[min(times), max(times)]]),
        ),
        keywords=["map", "prediction"],
    )
    links = [
        link("self", key, key),
        link("root", key, catalog_root_of(key)),
        link("parent", key, catalog_root_of(key)),
        *(link("item", key, each, title=_title(each)) for each in items),
    ]
    notes = {} if boxes else {"mlops:extent": _UNKNOWN_PLACE}
    writer.write(key, {**plain(collection), **notes, "links": links}, CATALOG_OWNER)


def _title(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".json")


def _interval(properties: Mapping[str, str]) -> tuple[datetime, datetime]:
    start = properties.get("start_datetime", properties["datetime"])
    end = properties.get("end_datetime", properties["datetime"])
    return datetime.fromisoformat(start), datetime.fromisoformat(end)
