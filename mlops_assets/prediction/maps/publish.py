"""Publishing a map: its files, the document of their origin, its row and its STAC Item, at once."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import cast

import numpy as np
from pydantic import JsonValue

from mlops_assets import __version__
from mlops_assets.datasets.io.raster_places import box_on_earth, georeference
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.errors import StorageError
from mlops_assets.names import Reference
from mlops_assets.paths import map_document_key, map_key, model_folder, prediction_owner
from mlops_assets.prediction.maps.geotiff import Layer
from mlops_assets.prediction.maps.made import AssembledMap, MadeMap, MappedScene
from mlops_assets.progress import step
from mlops_assets.registry import Map
from mlops_assets.registry.files.verified_read import stat_published
from mlops_assets.registry.records.maps import MapFilter
from mlops_assets.registry.store import now
from mlops_assets.stac.catalog import CatalogWriter, is_private
from mlops_assets.stac.extents import outline
from mlops_assets.stac.maps.document import (
    ENDS,
    RASTER,
    ClassFacts,
    FileFacts,
    GridFacts,
    LayerFacts,
    MapDocument,
    MapFacts,
    SceneFacts,
    SkippedFacts,
    SourceFacts,
    digest_of,
    input_digest,
)
from mlops_assets.stac.maps.item import item_key
from mlops_assets.stac.maps.record import add_map_record, collection_of, item_of
from mlops_assets.storage import FileStat, sha256_of
from mlops_assets.store import Store
from mlops_assets.text.secret_urls import redacted


def publish_map(store: Store, made: MadeMap) -> Map:
    """Publish a map, in place of one of the same name by the same model version.

    A map of the same sources, settings and bytes stays as it was published, unless it is damaged.

    Args:
        store: workspace and registry.
        made: the map.

    Returns:
        Its row.

    Raises:
        Conflict: another process is writing the catalogue and does not end, or another record has
            the id of the map's Collection.
        Forbidden: the principal may not publish maps; nothing was written.
        IntegrityError: a record that is to be linked is not as it was published.
        NotFound: its model version does not exist.
        StorageError: it cannot be written.
    """
    registry = store.registry
    document = _document(store, made)
    with step(f"publishing {made.name}"), registry.lock("catalog"):
        writer = CatalogWriter(store.workspace, registry)
        row = writer.registry.model_version(Reference(document.model, document.version))
        before = _published(store, document, item_key(document, is_private(row)))
        if before is not None:
            return before
        files: dict[str, bytes | Path] = {
            _key(document, end): path for end, path in made.files.items()
        }
        files[map_document_key(document.model, document.version, made.name)] = document.content()
        writer.add_files(prediction_owner(document.model, document.version), files)
        add_map_record(writer, row, document)
        possible = {_key(document, end) for end in ENDS}
        dropped = [file.path for file in registry.files_at(*(possible - files.keys()))]
        with writer.publishing() as records:
            registry.publish_map(document.row(), records, dropped)
    return document.row()


def _published(store: Store, document: MapDocument, item: str) -> Map | None:
    """Return the row of a map that is published as it is, with all of its bytes; else None."""
    wanted = MapFilter(model=document.model, version=document.version, name=document.name)
    for row in store.registry.maps(wanted):
        if (row.input_digest, row.digest) == (document.input_digest, document.digest):
            keys = [
                *(_key(document, end) for end in document.files),
                map_document_key(document.model, document.version, document.name),
                item,
            ]
            files = store.registry.files_at(*keys)
            if len(files) == len(keys) and all(_is_intact(store, file) for file in files):
                return row
    return None


def _is_intact(store: Store, published: FileStat) -> bool:
    try:
        file, found = stat_published(store.workspace, store.registry, published)
    except StorageError:
        return False
    return file.sha256 == found.sha256


def _key(document: MapDocument, end: str) -> str:
    return map_key(document.model, document.version, document.name, end)


def _document(store: Store, made: MadeMap) -> MapDocument:
    row = made.row
    folder = model_folder(row.model, row.version)
    (onnx,) = store.registry.files_at(f"{folder}/model.onnx")
    return MapDocument(
        **dict(map_facts(store, made, onnx.sha256)),
        model=row.model,
        version=row.version,
        dataset=row.dataset,
        data_version=row.data_version,
        run_id=row.run_id,
        area=made.area,
        collection=collection_of(row, made.area),
        item=item_of(row, made.name),
    )


def map_facts(store: Store, made: AssembledMap, model_sha256: str) -> MapFacts:
    """Return what the document of any map states.

    Args:
        store: whose principal has made it.
        made: the map.
        model_sha256: checksum of the ONNX file of the model.
    """
    scenes = tuple(_scene_facts(scene) for scene in made.scenes)
    files = {
        end: FileFacts(sha256=sha256_of(path), size=path.stat().st_size)
        for end, path in sorted(made.files.items())
    }
    return MapFacts(
        name=made.name,
        model_sha256=model_sha256,
        day=made.day,
        settings=made.settings,
        scenes=scenes,
        skipped=tuple(
            SkippedFacts(name=each.name, reason=redacted(each.reason)) for each in made.skipped
        ),
        files=files,
        layers={end: _layer_facts(layer) for end, layer in made.layers.items()},
        grid=_grid_facts(made.files[RASTER]),
        outside=made.outside,
        input_digest=input_digest(scenes, made.settings),
        digest=digest_of(files),
        software={
            "mlops_assets": __version__,
            "onnxruntime": importlib.metadata.version("onnxruntime"),
        },
        created=now(),
        created_by=store.registry.principal.name,
    )


def _scene_facts(scene: MappedScene) -> SceneFacts:
    return SceneFacts(
        name=scene.found.name,
        href=redacted(scene.found.href),
        acquired=scene.found.acquired,
        files=tuple(
            SourceFacts(
                asset=file.asset, href=redacted(file.href), sha256=file.sha256, size=file.size
            )
            for file in scene.files
        ),
    )


def _layer_facts(layer: Layer) -> LayerFacts:
    nodata = float(layer.nodata)
    return LayerFacts(
        bands=tuple(layer.bands),
        dtype=np.dtype(layer.dtype).name,
        nodata="nan" if np.isnan(nodata) else int(nodata),
        unit=layer.unit,
        classes=tuple(
            ClassFacts(value=entry.value, name=entry.name, colour=bytes(entry.colour).hex().upper())
            for entry in layer.classes
        ),
    )


def _grid_facts(path: Path) -> GridFacts:
    with open_raster(path) as raster:
        shape = raster.height, raster.width
        crs, bbox = georeference(raster), box_on_earth(raster)
        transform = tuple(raster.transform)[:6]
    if crs is None:
        return GridFacts(shape=shape, crs=None, transform=None, bbox=None, geometry=None)
    geometry = None if bbox is None else outline(crs.to_string(), transform, shape, bbox)
    return GridFacts(
        shape=shape,
        crs=crs.to_string(),
        transform=transform,
        bbox=None if bbox is None else cast("tuple[float, float, float, float]", tuple(bbox)),
        geometry=cast("dict[str, JsonValue] | None", geometry),
    )
