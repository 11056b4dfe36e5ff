"""STAC catalogues for the contract of the layouts: labels as assets, linked Items, properties.

Copied or not.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import geopandas

from mlops_assets.testing.readers import ReaderCase, Truth
from mlops_assets_tests.datasets.readers.ground import BOUNDS, CLASSES
from mlops_assets_tests.datasets.readers.landed_scenes import (
    CRS,
    GROUND,
    bands,
    day,
    facts,
    features,
    grid,
    name,
    noise,
    pixels,
)
from mlops_assets_tests.datasets.readers.landing import write_raster


def item(identifier: str, assets: dict[str, str], number: int, **properties: Any) -> dict[str, Any]:
    """A STAC Item without geometry whose assets have these hrefs."""
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": identifier,
        "geometry": None,
        "links": [],
        "properties": {"datetime": day(number).isoformat(), **properties},
        "assets": {key: {"href": href} for key, href in assets.items()},
    }


def write_catalog(folder: Path, items: list[tuple[str, dict[str, Any]]]) -> None:
    """Write Items at their paths and a Catalog and a Collection that lead to them."""
    for path, document in items:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(json.dumps(document))
    links = [{"rel": "item", "href": f"../{path}"} for path, _ in items]
    (folder / "all").mkdir(parents=True, exist_ok=True)
    collection = {
        "type": "Collection",
        "id": "all",
        "links": [{"rel": "root", "href": "../catalog.json"}, *links],
    }
    (folder / "all" / "collection.json").write_text(json.dumps(collection))
    catalog = {
        "type": "Catalog",
        "id": "x",
        "links": [{"rel": "child", "href": "./all/collection.json"}],
    }
    (folder / "catalog.json").write_text(json.dumps(catalog))


def catalogue(folder: Path, count: int) -> Truth:
    """Land Items with an image and a label raster each, below a Catalog and a Collection."""
    found, items = Truth(), []
    for number in range(count):
        image, labels = pixels(number, 3, "uint16"), noise(number)
        for kind, array in (("image", image), ("labels", labels[None])):
            path = f"data/{name(number)}/{kind}.tif"
            write_raster(folder / path, array, crs=CRS, transform=grid(number))
            found.files[path] = {"role": kind, "scene": name(number), **facts(array, number)}
        found.files[f"data/{name(number)}/image.tif"] |= {"part": 0, "datetime": day(number)}
        found.values[f"data/{name(number)}/image.tif"] = image
        found.labels[f"data/{name(number)}/image.tif"] = labels
        hrefs = {"image": "./image.tif", "labels": "labels.tif", "thumbnail": "gone.png"}
        items.append(
            (f"data/{name(number)}/item.json", item(name(number), hrefs, number, site=number // 2))
        )
    write_catalog(folder, items)
    found.files["catalog.json"] = {"role": "catalog"}
    return found


def item_collection(folder: Path, count: int) -> Truth:
    """Land an ItemCollection: per Item two images without georeference and a label raster."""
    found, items = Truth(), []
    for number in range(count):
        image, labels = pixels(number, 2, "int16"), noise(number)
        for part, band in enumerate(("red", "nir")):
            path = f"assets/{number}/{band}.tif"
            write_raster(folder / path, image[part])
            found.files[path] = {
                "role": "image",
                "scene": f"item-{number}",
                "part": part,
                "datetime": day(number),
                **facts(image[part][None]),
            }
        path = f"assets/{number}/red.tif"
        write_raster(folder / f"labels/{number}.tif", labels)
        found.files[f"labels/{number}.tif"] = {
            "role": "labels",
            "scene": f"item-{number}",
            **facts(labels[None]),
        }
        found.values[path], found.labels[path] = image, labels
        hrefs = {"red": path, "nir": f"./assets/{number}/nir.tif", "mask": f"labels/{number}.tif"}
        items.append(item(f"item-{number}", hrefs, number))
    (folder / "search.json").write_text(
        json.dumps({"type": "FeatureCollection", "features": items})
    )
    found.files["search.json"] = {"role": "catalog"}
    return found


def linked(folder: Path, count: int) -> Truth:
    """Land Items of images, and Items of vector labels that link to them.

    The link is `source` of the label extension.
    """
    found, items = Truth(), []
    for number in range(count):
        image = pixels(number, 2, "uint8")
        image_path, label_path = f"images/{name(number)}.tif", f"labels/{name(number)}.geojson"
        write_raster(folder / image_path, image, crs=CRS, transform=grid(number))
        geometry, values, burned = features(number, points=False)
        (folder / "labels").mkdir(exist_ok=True)
        # labelling tools write a list of labels
        rows = geopandas.GeoDataFrame(
            {"labels": [[CLASSES[v]] for v in values]}, geometry=geometry, crs=CRS
        )
        (folder / label_path).write_text(rows.to_json(to_wgs84=True))
        found.files[image_path] = {
            "role": "image",
            "scene": name(number),
            "part": 0,
            "datetime": day(number),
            **facts(image, number),
        }
        found.files[label_path] = {"role": "labels", "scene": name(number)}
        found.values[image_path], found.labels[image_path] = image, burned
        items.append(
            (
                f"images/{name(number)}.json",
                item(name(number), {name(number): f"./{name(number)}.tif"}, number),
            )
        )
        labelling = item(f"labels of {number}", {"labels": f"./{name(number)}.geojson"}, number)
        labelling["links"] = [{"rel": "source", "href": f"../images/{name(number)}.json"}]
        items.append((f"labels/{name(number)}.json", labelling))
    write_catalog(folder, items)
    found.files["catalog.json"] = {"role": "catalog"}
    return found


def with_property(key: str, value: Callable[[int], Any]) -> Callable[[Path, int], Truth]:
    """Return what lands Items whose label is a property, three a unit."""

    def land(folder: Path, count: int) -> Truth:
        found, items = Truth(), []
        for number in range(3 * count):
            image, path = pixels(number, 2, "float64"), f"chips/{number}/chip.tif"
            write_raster(folder / path, image, crs=CRS, transform=grid(number))
            found.files[path] = {
                "role": "image",
                "scene": f"chip-{number}",
                "part": 0,
                "datetime": day(number),
                **facts(image, number),
            }
            found.values[path], found.labels[path] = image, value(number)
            chip = item(
                f"chip-{number}",
                {"image": "./chip.tif"},
                number,
                **{key: value(number)},
                site=number // 2,
            )
            items.append((f"chips/{number}/item.json", chip))
        write_catalog(folder, items)
        found.files["catalog.json"] = {"role": "catalog"}
        return found

    return land


def stac(**options: Any) -> dict[str, Any]:
    return {"layout": "stac", "stac": options}


CHIPS: dict[str, Any] = {"random": {}, "group": {}, "spatial_block": {"block": 1500}}
PROPERTY: dict[str, Any] = {"labels": None, "label": "crop", "group": "site"}
CATALOGUES = [
    ReaderCase(
        "catalogue",
        stac(group="site", size=3),
        catalogue,
        "patch",
        GROUND,
        bands(3),
        CLASSES,
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "catalogue by reference",
        stac(assets="reference", read="windows", size=8),
        catalogue,
        "window",
        GROUND,
        bands(3),
        CLASSES,
        bounds=BOUNDS,
        timed=True,
        referenced=True,
    ),
    ReaderCase(
        "ItemCollection",
        stac(catalog="search.json", images=["red", "nir"], labels="mask", read="windows", size=6),
        item_collection,
        "window",
        {"random": {}, "group": {"seed": 1}, "spatial_block": {"block": 12}},
        ["red", "nir"],
        CLASSES,
        timed=True,
    ),
    ReaderCase(
        "linked labels",
        stac(images=["{id}"], label_column="labels", size=1),
        linked,
        "patch",
        GROUND,
        bands(2),
        CLASSES,
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "labels as properties",
        stac(**PROPERTY),
        with_property("crop", lambda i: ("water", "land")[i % 2]),
        "image",
        CHIPS,
        bands(2),
        found_classes={"land": "land", "water": "water"},
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "numbers as properties",
        stac(**PROPERTY, label_is="number"),
        with_property("crop", lambda i: i / 2),
        "image",
        CHIPS,
        bands(2),
        bounds=BOUNDS,
        timed=True,
    ),
]
