"""The STAC Item of a map: place, time, classes and bands, files, scenes and model version."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from pathlib import Path

from mlops_assets.datasets.io.media_types import COG, media_type
from mlops_assets.datasets.versions.manifest import CRS_CODE, DATA_TYPES, STAC_VERSION
from mlops_assets.paths import catalog_root_of, map_collection_key, map_items_folder, map_key
from mlops_assets.stac.asset_fields import class_object, pixel_size
from mlops_assets.stac.catalog import (
    CLASSIFICATION,
    FILE,
    PROCESSING,
    PROJECTION,
    asset,
    link,
)
from mlops_assets.stac.catalog import RASTER as RASTER_EXTENSION
from mlops_assets.stac.extents import text
from mlops_assets.stac.maps.document import (
    DOCUMENT,
    PICTURE,
    RASTER,
    GridFacts,
    LayerFacts,
    MapDocument,
    SceneFacts,
)
from mlops_assets.storage import FileStat
from mlops_assets.storage.checksums import MULTIHASH_SHA256

_NAMES = {RASTER: "map", PICTURE: "picture", DOCUMENT: "document"}
_TITLES = {
    "map": "Map",
    "scores": "Probabilities and their measures",
    "applicability": "Dissimilarity index and area of applicability",
    "picture": "Picture of the map with its legend",
    "document": "Origin of the map, with the checksums of all files",
}


def item_key(document: MapDocument, private: bool) -> str:
    """Return the key of the Item of a map, in one of the two catalogues."""
    folder = map_items_folder(document.collection, document.model, document.version, private)
    return f"{folder}/{document.item}.json"


def map_item(
    document: MapDocument, own: FileStat, private: bool, model_item: str | None
) -> dict[str, object]:
    """Return the Item of a map.

    Args:
        document: of the map.
        own: the document as a published file.
        private: whether it is in the catalogue of private versions.
        model_item: key of the Item of the model version; None if it has none.
    """
    key = item_key(document, private)
    collection = map_collection_key(document.collection, private)
    links = [
        link("root", key, catalog_root_of(key)),
        link("parent", key, collection),
        link("collection", key, collection),
        *([] if model_item is None else [model_link(document.model, key, model_item)]),
        *(_source(scene) for scene in document.scenes),
    ]
    properties = _properties(document)
    assets = {
        asset_name(end): _asset(document, end, file, key)
        for end, file in (*_files(document), (DOCUMENT, own))
    }
    return {
        "type": "Feature",
        "stac_version": STAC_VERSION,
        "stac_extensions": [
            FILE,
            PROCESSING,
            *([PROJECTION] if any(name.startswith("proj:") for name in properties) else []),
            *([RASTER_EXTENSION] if _resolution(document.grid) is not None else []),
            *([CLASSIFICATION] if any(each.classes for each in document.layers.values()) else []),
        ],
        "id": document.item,
        "collection": document.collection,
        "geometry": document.grid.geometry,
        **({"bbox": list(document.grid.bbox)} if document.grid.bbox else {}),
        "properties": properties,
        "assets": assets,
        "links": links,
    }


def asset_name(end: str) -> str:
    """Return the name of the asset of a file of a map, by the end of the file's name."""
    return _NAMES.get(end, end.removesuffix(RASTER).strip(".").replace(".", "_"))


def model_link(model: str, key: str, model_item: str) -> dict[str, object]:
    """Return the link from the Item of a map to that of its model version.

    Args:
        model: name of the model, as MLM wants it of what is derived from one.
        key: of the Item of the map.
        model_item: key of the Item of the model version.
    """
    media = "application/geo+json"
    title = f"{model}@{model_item.rpartition('/')[2].removesuffix('.json')}"
    return link("derived_from", key, model_item, title=title, **{"type": media, "mlm:name": model})


def _source_href(place: str) -> str:
    """Return where a source is as a URL; a path of this machine becomes one of `file:`."""
    return place if "://" in place else Path(place).absolute().as_uri()


def _files(document: MapDocument) -> list[tuple[str, FileStat]]:
    return [
        (
            end,
            FileStat(
                map_key(document.model, document.version, document.name, end),
                file.sha256,
                file.size,
            ),
        )
        for end, file in document.files.items()
    ]


def _source(scene: SceneFacts) -> dict[str, object]:
    """Return the link to a scene, with the checksums of its files."""
    is_item = any(file.asset for file in scene.files)
    found: dict[str, object] = {
        "rel": "derived_from",
        "href": _source_href(scene.href),
        "type": "application/geo+json" if is_item else media_type(scene.href),
        "title": scene.name,
    }
    others = list(scene.files)
    if not is_item and others:
        # a plain file, which may have files beside it
        own = next((file for file in others if file.href == scene.href), others[0])
        others.remove(own)
        found |= {"file:checksum": f"{MULTIHASH_SHA256}{own.sha256}", "file:size": own.size}
    if others:
        found["mlops:files"] = [
            {
                "asset": file.asset or None,
                "href": _source_href(file.href),
                "file:checksum": f"{MULTIHASH_SHA256}{file.sha256}",
                "file:size": file.size,
            }
            for file in others
        ]
    return found


def _properties(document: MapDocument) -> dict[str, object]:
    reference = f"{document.model}@{document.version}"
    scenes = ", ".join(scene.name for scene in document.scenes)
    return {
        "title": f"{document.name}, {reference}",
        "description": f"Map of {document.area or scenes} by the model version {reference}.",
        **_times(document),
        "created": text(document.created),
        **_projection(document.grid),
        "processing:level": "L4",
        "processing:datetime": text(document.created),
        "processing:software": document.software,
        "processing:version": document.version,
        "processing:lineage": f"{reference} over {len(document.scenes)} scene(s): {scenes}",
        # the id of the MLM Item, to which a link leads
        "processing:expression": {
            "format": "stac-mlm",
            "expression": f"{document.model}-{document.version}",
        },
        "mlops:model_version": reference,
        "mlops:model_sha256": document.model_sha256,
        "mlops:run_id": document.run_id,
        "mlops:data_version": f"{document.dataset}@{document.data_version}",
        "mlops:area": document.area,
        "mlops:input_digest": document.input_digest,
        "mlops:digest": document.digest,
        "mlops:outside": document.outside,
        "mlops:skipped": [f"{each.name}: {each.reason}" for each in document.skipped] or None,
    }


def _times(document: MapDocument) -> dict[str, object]:
    """Return the time of acquisition, or the first and last one; else the day, if it is known."""
    acquired = document.acquired
    if acquired and acquired[0] == acquired[-1]:
        return {"datetime": text(acquired[0])}
    if acquired:
        start, end = acquired[0], acquired[-1]
    elif document.day is not None:
        start = datetime.combine(document.day, time(), UTC)
        end = start + timedelta(days=1, seconds=-1)
    else:
        return {"datetime": text(document.created), "mlops:datetime_is": "unknown"}
    return {
        "datetime": text(start),
        "start_datetime": text(start),
        "end_datetime": text(end),
    }


def _projection(grid: GridFacts) -> dict[str, object]:
    found: dict[str, object] = {"proj:shape": list(grid.shape)}
    if grid.crs is not None:
        found["proj:code" if CRS_CODE.fullmatch(grid.crs) else "proj:wkt2"] = grid.crs
    if grid.transform is not None:
        found["proj:transform"] = list(grid.transform)
    return found


def _resolution(grid: GridFacts) -> float | None:
    if grid.crs is None or grid.transform is None:
        return None
    return pixel_size(grid.crs, grid.transform)


def _asset(document: MapDocument, end: str, file: FileStat, key: str) -> dict[str, object]:
    name = asset_name(end)
    title = _TITLES.get(name, "Class names for GDAL" if end.endswith(".xml") else name)
    if end in document.layers:
        fields = _layer_fields(document.layers[end], document.grid)
        return asset(key, file, COG, ["data"], title=title, **fields)
    roles = ["thumbnail", "graphic"] if end == PICTURE else ["metadata"]
    return asset(key, file, media_type(file.path), roles, title=title)


def _layer_fields(layer: LayerFacts, grid: GridFacts) -> dict[str, object]:
    found: dict[str, object] = {
        "data_type": DATA_TYPES.get(layer.dtype, layer.dtype),
        "nodata": layer.nodata,
        "bands": [{"name": name} for name in layer.bands],
    }
    if layer.unit:
        found["unit"] = layer.unit
    if (resolution := _resolution(grid)) is not None:
        found["raster:spatial_resolution"] = resolution
    if layer.classes:
        found["classification:classes"] = [
            class_object(entry.value, entry.name, entry.colour) for entry in layer.classes
        ]
    return found
