"""The static catalogue: self-contained, relative links only, every file's checksum in the registry.

Records are write-once but for their links: a new version adds `successor-version` and `latest-version` to older ones.
"""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import pystac

from mlops_assets.datasets.freezing import json_bytes
from mlops_assets.datasets.specification import DatasetSpecification
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.registry import Registry
from mlops_assets.storage import FileStat, Workspace

ROOT = "catalog/catalog.json"
VERSION_RELATIONS = ("predecessor-version", "successor-version", "latest-version")
SCHEMAS = "https://stac-extensions.github.io"
FILE, VERSION, CLASSIFICATION, PROJECTION, ML_AOI, SCIENTIFIC, EO = (
    f"{SCHEMAS}/{name}/schema.json"
    for name in ("file/v2.1.0", "version/v1.2.0", "classification/v2.0.0", "projection/v2.0.0", "ml-aoi/v0.2.0",
                 "scientific/v1.0.0", "eo/v2.0.0")
)  # fmt: skip
MEDIA_TYPES = {
    ".csv": "text/csv", ".tsv": "text/tab-separated-values", ".txt": "text/plain", ".json": "application/json",
    ".parquet": "application/vnd.apache.parquet", ".geoparquet": "application/vnd.apache.parquet",
    ".tif": "image/tiff; application=geotiff", ".tiff": "image/tiff; application=geotiff", ".png": "image/png",
    ".md": "text/markdown", ".onnx": "application/octet-stream; framework=onnx",
}  # fmt: skip
WHOLE_WORLD = [-180.0, -90.0, 180.0, 90.0]


class CatalogWriter:
    """Writes documents of one record and keeps the catalogue around them true. Use it under `Workspace.lock`."""

    def __init__(self, workspace: Workspace, registry: Registry) -> None:
        self.workspace, self.registry = workspace, registry

    def write(self, key: str, document: Mapping[str, Any], owner: str) -> FileStat:
        """Write one document and record its checksum under its owner."""
        stat = self.workspace.put(key, json_bytes(document))
        self.registry.add_files(owner, [stat])
        return stat

    def read(self, key: str) -> dict[str, Any]:
        """Return one document."""
        document: dict[str, Any] = json.loads(self.workspace.get(key))
        return document

    def link_versions(self, records: Sequence[tuple[str, str]]) -> None:
        """Set the version links of all versions of one thing, given as (key, owner), oldest first."""
        for index, (key, owner) in enumerate(records):
            document = self.read(key)
            related = {
                "predecessor-version": records[index - 1][0] if index else None,
                "successor-version": records[index + 1][0] if index + 1 < len(records) else None,
                "latest-version": records[-1][0],
            }
            links = [entry for entry in document["links"] if entry["rel"] not in VERSION_RELATIONS]
            links += [link(rel, key, target) for rel, target in related.items() if target]
            if links != document["links"]:
                self.write(key, {**document, "links": links}, owner)

    def write_root(self) -> None:
        """Write the root catalogue: one child a dataset, one a model."""
        datasets = sorted({row.dataset for row in self.registry.data_versions()})
        models = sorted({row.model for row in self.registry.model_versions() if row.stage == "recorded"})
        children = [f"catalog/datasets/{name}/catalog.json" for name in datasets]
        children = [key for key in children if self.workspace.exists(key)]
        children += [key for key in (model_collection_key(name) for name in models) if self.workspace.exists(key)]
        catalog = pystac.Catalog("mlops_assets", "Training data and models of this workspace.", title="mlops_assets")
        links = [link("root", ROOT, ROOT), *(link("child", ROOT, child) for child in children)]
        self.write(ROOT, {**plain(catalog), "links": links}, "catalog")


def model_collection_key(model: str) -> str:
    """Return where the Collection of a model's versions lies."""
    return f"catalog/models/{model}/collection.json"


def dataset_collection_key(dataset: str, version: str) -> str:
    """Return where the Collection of a data version lies."""
    return f"catalog/datasets/{dataset}/{version}/collection.json"


def link(rel: str, source: str, target: str, **extra: Any) -> dict[str, Any]:
    """Return a relative link from one key of the workspace to another."""
    media = "application/geo+json" if rel == "item" else "application/json"
    return {"rel": rel, "href": relative(source, target), "type": media, **extra}


def relative(source: str, target: str) -> str:
    """Return the href by which the document at `source` reaches `target`."""
    href = posixpath.relpath(target, posixpath.dirname(source))
    return href if href.startswith(".") else f"./{href}"


def asset(source: str, file: FileStat, media_type: str, roles: list[str], **extra: Any) -> dict[str, Any]:
    """Return an asset with checksum (multihash, as the file extension wants it) and size."""
    return {
        "href": relative(source, file.path),
        "type": media_type,
        "roles": roles,
        "file:checksum": f"1220{file.sha256}",
        "file:size": file.size,
        **extra,
    }


def media_type(path: str) -> str:
    """Return the media type of a file by the ending of its name."""
    return MEDIA_TYPES.get(posixpath.splitext(path)[1].lower(), "application/octet-stream")


def plain(thing: pystac.STACObject) -> dict[str, Any]:
    """Return a STAC object as a dictionary without links."""
    document = thing.to_dict(include_self_link=False, transform_hrefs=False)
    return {**document, "links": []}


def footprint(bbox: Sequence[float] | None) -> dict[str, Any] | None:
    """Return a bounding box as a polygon, or None where nobody knows it."""
    if bbox is None:
        return None
    west, south, east, north = bbox
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def known_bbox(frozen: FrozenDataset) -> list[float] | None:
    """Return the bounding box of a data version: from its files, else as declared, else None."""
    boxes = [facts.bbox for facts in frozen.scene_facts if facts.bbox]
    if boxes and len(boxes) == len(frozen.scene_facts):
        west, south, east, north = zip(*boxes, strict=True)
        return [min(west), min(south), max(east), max(north)]
    extent = frozen.specification.extent
    return list(extent.bbox) if extent else None


def times(specification: DatasetSpecification, published: datetime) -> dict[str, Any]:
    """Return an Item's time properties: as declared, else when it was published, and which of the two."""
    interval = specification.extent.interval if specification.extent else [None, None]
    if interval[0] and interval[1]:
        return {"datetime": None, "start_datetime": text(interval[0]), "end_datetime": text(interval[1])}
    return {"datetime": text(published), "mlops:datetime_is": "publication"}


def extent(frozen: FrozenDataset) -> pystac.Extent:
    """Return a Collection's extent. STAC demands one: unknown, it is the whole world up to publication."""
    declared = frozen.specification.extent
    interval = declared.interval if declared else [None, frozen.row.created]
    return pystac.Extent(
        pystac.SpatialExtent([known_bbox(frozen) or WHOLE_WORLD]), pystac.TemporalExtent([list(interval)])
    )


def text(moment: datetime) -> str:
    """Return a time as STAC writes it."""
    return pystac.utils.datetime_to_str(moment)
