"""The record of a data version: a Collection, and one Item a scene or table."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import pandas as pd
import pystac

from mlops_assets.datasets.contents import SceneFacts
from mlops_assets.datasets.specification import SPLITS
from mlops_assets.datasets.versions import FrozenDataset
from mlops_assets.registry import Registry
from mlops_assets.stac.catalog import (
    CLASSIFICATION,
    FILE,
    ML_AOI,
    PROJECTION,
    ROOT,
    SCIENTIFIC,
    VERSION,
    CatalogWriter,
    asset,
    dataset_collection_key,
    extent,
    footprint,
    known_bbox,
    link,
    media_type,
    plain,
    times,
)
from mlops_assets.storage import FileStat, Workspace
from mlops_assets.storage.workspace import object_key

STAC_SPLITS = {"train": "train", "validation": "validate", "test": "test"}  # the words of the ml-aoi extension


def write_dataset_record(workspace: Workspace, registry: Registry, frozen: FrozenDataset) -> list[FileStat]:
    """Write the Collection and Items of a data version into the catalogue; return their files, Collection first.

    Raises:
        Conflict: another process is writing the catalogue and does not end.
        StorageError: it cannot be written.
    """
    owner = f"record:{frozen.reference}"
    key = dataset_collection_key(frozen.row.dataset, frozen.row.version)
    with workspace.lock("catalog"):
        writer = CatalogWriter(workspace, registry)
        items = _items(frozen, key)
        files = [writer.write(item_key, item, owner) for item_key, item in items.items()]
        collection = _collection(registry, frozen, key, list(items))
        files.insert(0, writer.write(key, collection, owner))
        recorded = [
            (other, f"record:{row.dataset}@{row.version}")
            for row in registry.data_versions(frozen.row.dataset)
            if workspace.exists(other := dataset_collection_key(row.dataset, row.version))
        ]
        writer.link_versions(recorded)
        _write_parent(writer, frozen, [other for other, _ in recorded])
        writer.write_root()
    return [workspace.stat(key), *files[1:]]


def _write_parent(writer: CatalogWriter, frozen: FrozenDataset, versions: list[str]) -> None:
    name, specification = frozen.row.dataset, frozen.specification
    key = f"catalog/datasets/{name}/catalog.json"
    catalog = pystac.Catalog(name, specification.description or f"Versions of {name}.", title=specification.title)
    links = [link("root", key, ROOT), link("parent", key, ROOT), *(link("child", key, child) for child in versions)]
    writer.write(key, {**plain(catalog), "links": links}, "catalog")


def _collection(registry: Registry, frozen: FrozenDataset, key: str, items: list[str]) -> dict[str, Any]:
    specification, row = frozen.specification, frozen.row
    collection = pystac.Collection(
        id=f"{row.dataset}-{row.version}",
        title=f"{specification.title or row.dataset}, {row.version}",
        description=specification.description or f"Training data {row.dataset}.",
        license=specification.license,
        extent=extent(frozen),
        providers=[pystac.Provider(p.name, roles=[pystac.ProviderRole(r) for r in p.roles], url=p.url)
                   for p in specification.providers] or None,
        extra_fields={"version": row.version, "mlops:digest": row.digest, "mlops:samples": row.counts},
    )  # fmt: skip
    document = plain(collection)
    document["stac_extensions"] = [FILE, VERSION]
    if specification.doi or specification.citation:
        document["stac_extensions"].append(SCIENTIFIC)
        document |= {
            f"sci:{name}": value
            for name, value in (("doi", specification.doi), ("citation", specification.citation)) if value
        }  # fmt: skip
    if specification.extent and specification.extent.approximate:
        document["mlops:extent"] = f"approximate; {specification.extent.source or 'as declared'}"
    for file in registry.files(f"data:{frozen.reference}"):
        name = PurePosixPath(file.path).name
        document.setdefault("assets", {})[name.split(".")[0]] = asset(
            key, file, media_type(name), ["metadata"], title=name
        )
    parent = f"catalog/datasets/{row.dataset}/catalog.json"
    document["links"] = [link("root", key, ROOT), link("parent", key, parent)]
    document["links"] += [link("item", key, item) for item in items]
    if specification.doi:
        document["links"].append({"rel": "cite-as", "href": f"https://doi.org/{specification.doi}"})
    return document


def _items(frozen: FrozenDataset, collection: str) -> dict[str, dict[str, Any]]:
    """Return key → Item: one a scene with its image and labels, or one a table."""
    folder = collection.rsplit("/", 1)[0]
    scenes = frozen.scene_facts
    found = {}
    paths = [scene.path for scene in scenes] if scenes else frozen.manifest["path"].tolist()
    for index, path in enumerate(paths):
        name = f"{PurePosixPath(path).stem}-{index:05d}" if len(paths) > 1 else PurePosixPath(path).stem
        name = "".join(c if c.isalnum() or c in "_-." else "_" for c in name)
        key = f"{folder}/{name}/{name}.json"
        found[key] = _item(frozen, key, collection, name, path, scenes[index] if scenes else None)
    return found


def _item(
    frozen: FrozenDataset, key: str, collection: str, name: str, path: str, scene: SceneFacts | None
) -> dict[str, Any]:
    bbox = (scene.bbox if scene else None) or known_bbox(frozen)
    document: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [FILE, VERSION],
        "id": name,
        "collection": f"{frozen.row.dataset}-{frozen.row.version}",
        "geometry": footprint(bbox),
        **({"bbox": bbox} if bbox else {}),
        "properties": {
            **times(frozen.specification, frozen.row.created),
            "version": frozen.row.version,
            "license": frozen.specification.license,
            "mlops:samples": _split_counts(frozen.samples[frozen.samples["path"] == path]),
        },
        "assets": {},
        "links": [link("root", key, ROOT), link("parent", key, collection), link("collection", key, collection)],
    }
    counts = document["properties"]["mlops:samples"]
    if len(counts) == 1:
        document["stac_extensions"].append(ML_AOI)
        document["properties"]["ml-aoi:split"] = STAC_SPLITS[next(iter(counts))]
    if scene is None:
        document["assets"]["table"] = _file_asset(frozen, key, path, ["data"])
        return document
    document["assets"]["image"] = _file_asset(frozen, key, path, ["data"])
    labels = _file_asset(frozen, key, scene.labels, ["labels"])
    if frozen.classes:
        document["stac_extensions"].append(CLASSIFICATION)
        labels["classification:classes"] = [_class(entry["value"], entry["name"]) for entry in frozen.classes]
    document["assets"]["labels"] = labels
    document["stac_extensions"].append(PROJECTION)
    document["properties"]["proj:shape"] = [scene.height, scene.width]
    document["properties"]["proj:code"] = scene.crs if scene.crs and scene.crs.startswith("EPSG:") else None
    if scene.transform:
        document["properties"]["proj:transform"] = scene.transform
    return document


def _class(value: int | str, name: str) -> dict[str, Any]:
    """One class; STAC class names are identifiers, so the name as written goes into the title."""
    identifier = "".join(c if c.isalnum() or c in "_-" else "_" for c in name)
    return {"value": int(value), "name": identifier, "title": name, "description": name}


def _split_counts(samples: pd.DataFrame) -> dict[str, int]:
    counts = {name: int((samples["split"] == name).sum()) for name in SPLITS}
    return {name: count for name, count in counts.items() if count}


def _file_asset(frozen: FrozenDataset, key: str, path: str, roles: list[str]) -> dict[str, Any]:
    row = frozen.manifest[frozen.manifest["path"] == path].iloc[0]
    file = FileStat(object_key(row["sha256"]), row["sha256"], int(row["size"]))
    return asset(key, file, media_type(path), roles, title=path, **{"file:local_path": path})
