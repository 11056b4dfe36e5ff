"""External records as callers of the STAC API send them."""

from __future__ import annotations

from typing import Any

SQUARE = {
    "type": "Polygon",
    "coordinates": [[[10, 47], [11, 47], [11, 48], [10, 48], [10, 47]]],
}


def external_collection(name: str = "sent", **changes: Any) -> dict[str, Any]:
    """A Collection of another platform."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": name,
        "description": "Records of another platform.",
        "license": "CC-BY-4.0",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "links": [{"rel": "license", "href": "https://example.org/license"}],
        **changes,
    }


def external_item(name: str = "one", collection: str = "sent", **changes: Any) -> dict[str, Any]:
    """An Item of another platform; `properties` are added to its time."""
    properties = {"datetime": "2024-05-06T10:20:30Z", **changes.pop("properties", {})}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": name,
        "collection": collection,
        "geometry": SQUARE,
        "bbox": [10, 47, 11, 48],
        "properties": properties,
        "links": [],
        "assets": {"data": {"href": f"https://example.org/{name}.tif"}},
        **changes,
    }
