"""Items that look like records of models and scenes, and the searches that are measured on them."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

COLLECTION = "scenes"
FRAMEWORKS = ("PyTorch", "TensorFlow", "scikit-learn", "XGBoost")
TASKS = ("classification", "semantic-segmentation", "regression")
_START = datetime(2020, 1, 1, tzinfo=UTC)
_DAYS = 2_000


def collection() -> dict[str, Any]:
    """Return the Collection of the Items."""
    return {
        "type": "Collection",
        "stac_version": "1.1.0",
        "id": COLLECTION,
        "description": "Measured Items.",
        "license": "CC-BY-4.0",
        "extent": {
            "spatial": {"bbox": [[-180, -90, 180, 90]]},
            "temporal": {"interval": [["2020-01-01T00:00:00Z", None]]},
        },
        "links": [],
    }


def items(count: int) -> Iterator[dict[str, Any]]:
    """Yield Items, always the same: tilted footprints of some 100 km over Europe."""
    rng = random.Random(0)
    for number in range(count):
        west, south = rng.uniform(-10, 30), rng.uniform(35, 65)
        width, height, tilt = rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.0), rng.uniform(0.05, 0.2)
        ring = [
            [west, south],
            [west + width, south + tilt],
            [west + width - tilt, south + height],
            [west - tilt, south + height - tilt],
            [west, south],
        ]
        moment = _START + timedelta(seconds=rng.randrange(_DAYS * 86_400), microseconds=number)
        xs, ys = zip(*ring, strict=True)
        yield {
            "type": "Feature",
            "stac_version": "1.1.0",
            "stac_extensions": ["https://stac-extensions.github.io/mlm/v1.5.2/schema.json"],
            "id": f"item-{number:06d}",
            "collection": COLLECTION,
            "geometry": {"type": "Polygon", "coordinates": [ring]},
            "bbox": [min(xs), min(ys), max(xs), max(ys)],
            "properties": {
                "datetime": moment.isoformat().replace("+00:00", "Z"),
                "created": (moment + timedelta(days=2)).isoformat().replace("+00:00", "Z"),
                "title": f"Scene {number}",
                "description": "Reflectances at the bottom of the atmosphere.",
                "platform": rng.choice(["sentinel-2a", "sentinel-2b"]),
                "gsd": rng.choice([10, 20, 60]),
                "eo:cloud_cover": round(100 * rng.random(), 6),
                "proj:code": f"EPSG:{32630 + math.floor(west / 6)}",
                "mlm:name": f"model_{number % 50}",
                "mlm:framework": rng.choice(FRAMEWORKS),
                "mlm:tasks": [rng.choice(TASKS)],
                "mlm:architecture": "U-Net",
                "mlm:total_parameters": rng.randrange(10**5, 10**8),
                "mlops:metrics": {"accuracy": rng.random(), "macro_f1": rng.random()},
            },
            "links": [],
            "assets": {
                name: {
                    "href": f"https://example.org/{number}/{name}.tif",
                    "type": "image/tiff; application=geotiff; profile=cloud-optimized",
                    "roles": ["data"],
                    "file:checksum": f"1220{rng.getrandbits(256):064x}",
                    "file:size": rng.randrange(10**6, 10**8),
                }
                for name in ("B02", "B03", "B04", "B08", "model")
            },
        }


def searches(count: int) -> list[dict[str, Any]]:
    """Return bodies of searches by place, time and two terms, always the same."""
    rng = random.Random(1)
    found = []
    for _ in range(count):
        west, south = rng.uniform(-8, 22), rng.uniform(37, 58)
        start = _START + timedelta(days=rng.randrange(_DAYS - 400))
        end = start + timedelta(days=365)
        found.append(
            {
                "collections": [COLLECTION],
                "bbox": [west, south, west + 6, south + 5],
                "datetime": f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}",
                "filter-lang": "cql2-json",
                "filter": {
                    "op": "and",
                    "args": [
                        {
                            "op": "=",
                            "args": [{"property": "mlm:framework"}, rng.choice(FRAMEWORKS)],
                        },
                        {"op": "<", "args": [{"property": "eo:cloud_cover"}, 40]},
                    ],
                },
                "limit": 10,
            }
        )
    return found


def sorted_searches(count: int) -> list[dict[str, Any]]:
    """Return bodies of searches of everything, sorted by an indexed property."""
    return [
        {
            "collections": [COLLECTION],
            "sortby": [{"field": "properties.eo:cloud_cover", "direction": direction}],
            "limit": 10 + number,
        }
        for number in range(count)
        for direction in ("asc", "desc")
    ][:count]
