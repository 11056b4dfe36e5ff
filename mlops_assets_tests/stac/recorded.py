"""Data versions of every layout, landed, committed and recorded: what the tests of records read."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rasterio import Affine
from shapely import geometry

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.names import Reference
from mlops_assets.paths import dataset_collection_key
from mlops_assets.stac.datasets import write_dataset_record
from mlops_assets.store import Store
from mlops_assets_tests.conftest import crops_table
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster

HALVES = {"fractions": {"train": 0.5, "test": 0.5}}
COVER: dict[int | str, str] = {1: "water body", 2: "land"}
PLACES = {"minx": 9.8, "miny": 47.2, "maxx": 10.4, "maxy": 47.9}
PLATFORM = {
    "platform": "sentinel-2a",
    "constellation": "sentinel-2",
    "instruments": ["msi"],
    "gsd": 10,
}
COLOURS = {"blue": 0.49, "green": 0.56, "red": 0.66, "nir": 0.84}
SPECTRUM = {  # as STAC 1.0 has it
    "eo:bands": [
        {
            "name": f"x-{colour}",
            "common_name": colour,
            "center_wavelength": wavelength,
            "full_width_half_max": "?",
        }
        for colour, wavelength in COLOURS.items()
    ],
    "raster:bands": [{"nodata": 0, "scale": 0.0001}] * len(COLOURS),
}
# UTM 1N, 180° in it
PACIFIC = {
    "crs": "EPSG:32601",
    "transform": Affine(1000, 0, 252_000, 0, -1000, 5_000_000),
}


def record(store: Store, name: str, source: Mapping[str, Any], **declared: Any) -> CommittedDataset:
    """Commit and record what has landed.

    A dataset's source is `landing/NAME` unless declared otherwise.
    """
    split = {"method": "random", **HALVES, **declared.pop("split", {})}
    attributes = {
        "name": name,
        "source": {"url": f"landing/{name}", **source},
        "split": split,
        **declared,
    }
    specification = DatasetSpecification.model_validate(attributes)
    version = commit(store.workspace, store.registry, specification).version
    committed = CommittedDataset.open(
        store.workspace, store.registry, Reference(name, version.version)
    )
    write_dataset_record(store.workspace, store.registry, committed)
    return committed


def document(store: Store, key: str) -> dict[str, Any]:
    """Return a document of the catalogue."""
    found: dict[str, Any] = json.loads(store.workspace.get(key))
    return found


def collection(store: Store, name: str, version: str = "v1") -> dict[str, Any]:
    """Return the Collection of a data version."""
    return document(store, dataset_collection_key(name, version))


def items(store: Store, name: str, version: str = "v1") -> list[dict[str, Any]]:
    """Return the Items that the Collection of a data version links to."""
    key = dataset_collection_key(name, version)
    links = [
        link["href"] for link in collection(store, name, version)["links"] if link["rel"] == "item"
    ]
    return [
        document(store, posixpath.normpath(posixpath.join(posixpath.dirname(key), href)))
        for href in links
    ]


def land_table(folder: Path) -> pd.DataFrame:
    """Land a CSV file of crops with places and dates; return it."""
    rng = np.random.default_rng(0)
    table = crops_table(120)
    table["lon"] = rng.uniform(PLACES["minx"], PLACES["maxx"], len(table)).round(4)
    table["lat"] = rng.uniform(PLACES["miny"], PLACES["maxy"], len(table)).round(4)
    table["seen"] = pd.date_range("2024-03-01", periods=len(table), freq="D").strftime("%Y-%m-%d")
    folder.mkdir(parents=True)
    table.to_csv(folder / "samples of 2024.csv", index=False)
    return table


def land_images(folder: Path, count: int = 6, suffix: str = ".png", **profile: Any) -> None:
    """Land small images of two classes."""
    rng = np.random.default_rng(0)
    for label in ("forest", "lake"):
        for number in range(count):
            pixels = rng.integers(0, 255, (3, 8, 8), dtype=np.uint8)
            write_raster(folder / label / f"{number}{suffix}", pixels, **profile)


def land_scene(folder: Path, name: str, stacked: bool = False, **profile: Any) -> None:
    """Land a scene of four bands, in three files if `stacked`, with a label raster."""
    size = 24
    rng = np.random.default_rng(len(name))
    labels = np.where(np.add.outer(np.arange(size), np.arange(size)) // 4 % 2 == 0, 1, 2).astype(
        np.uint8
    )
    image = (labels * 100 + rng.integers(0, 50, (4, size, size))).astype(np.uint16)
    parts = {"a": image[:2], "b": image[2:3], "c": image[3:]} if stacked else {"image": image}
    for part, array in parts.items():
        write_raster(folder / part / f"{name}.tif", array, nodata=65535, **profile)
    write_raster(folder / "labels" / f"{name}.tif", labels, **profile)


def land_outlines(path: Path) -> None:
    """Land a GeoJSON file with two fields in the scenes at `UTM`."""
    west, middle, east, south, north = -2.9999, -2.9985, -2.9972, 42.4503, 42.4522
    features = [
        {
            "type": "Feature",
            "properties": {"cover": value},
            "geometry": geometry.mapping(geometry.box(left, south, right, north)),
        }
        for value, left, right in ((1, west, middle), (2, middle, east))
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))


def land_catalogue(folder: Path, names: list[str], **profile: Any) -> None:
    """Land a static STAC catalogue of scenes whose Items are external, with their origin."""
    links = []
    for name in names:
        stem = name.replace(":", "_")
        land_scene(folder, stem, **profile)
        item = {
            "type": "Feature",
            "stac_version": "1.1.0",
            "id": name,
            "geometry": None,
            "properties": {"datetime": "2024-05-06T10:20:30Z", **PLATFORM, "mission": 7},
            "links": [{"rel": "self", "href": f"https://example.org/items/{stem}.json"}],
            "assets": {
                "image": {"href": f"./image/{stem}.tif", **SPECTRUM},
                "labels": {"href": f"./labels/{stem}.tif"},
            },
        }
        (folder / f"{stem}.json").write_text(json.dumps(item))
        links.append({"rel": "item", "href": f"./{stem}.json"})
    catalog = {
        "type": "Catalog",
        "stac_version": "1.1.0",
        "id": "source",
        "description": "Scenes",
        "links": links,
    }
    (folder / "catalog.json").write_text(json.dumps(catalog))


def record_all(store: Store) -> None:
    """Land, commit and record data of every layout."""
    landing = store.workspace.root / "landing"
    land_table(landing / "fields")
    table = {
        "label": "crop",
        "group": "farm",
        "time": "seen",
        "longitude": "lon",
        "latitude": "lat",
    }
    record(store, "fields", {"layout": "table", "table": table}, split={"method": "group"})
    (landing / "bare").mkdir()
    crops_table(80).to_parquet(landing / "bare/crops.parquet", index=False)
    record(store, "bare", {"layout": "table", "table": {"label": "crop"}})
    land_images(landing / "photos")
    record(store, "photos", {"layout": "image_folder"})
    for name in ("north 1", "south"):
        land_scene(landing / "stacked", name, stacked=True, **UTM)
    scenes = {"images": ["a/*.tif", "b/*.tif", "c/*.tif"], "labels": "labels/*.tif", "size": 3}
    declared = {
        "title": "Two scenes",
        "license": "CC-BY-4.0",
        "doi": "10.1234/scenes",
        "citation": "Somebody (2024).",
        "providers": [{"name": "Somebody", "roles": ["producer"], "url": "https://example.org"}],
        "bands": {
            "names": ["blue", "green", "red", "nir"],
            "center_wavelengths": [0.49, 0.56, 0.66, 0.84],
        },
    }
    record(store, "stacked", {"layout": "scenes", "scenes": scenes}, classes=COVER, **declared)
    land_scene(landing / "pacific", "strait", **PACIFIC)
    windows = {"images": "image/*.tif", "labels": "labels/*.tif", "read": "windows", "size": 8}
    record(store, "pacific", {"layout": "scenes", "scenes": windows}, classes=COVER)
    land_scene(landing / "drawn", "north", **UTM)
    land_outlines(landing / "drawn/fields.geojson")
    outlines = {
        "images": "image/*.tif",
        "labels": "fields.geojson",
        "label_column": "cover",
        "size": 1,
    }
    record(store, "drawn", {"layout": "scenes", "scenes": outlines}, classes=COVER)
    land_catalogue(landing / "found", ["S2:A", "plain"], **UTM)
    record(store, "found", {"layout": "stac", "stac": {"size": 1}}, classes=COVER)
