"""Scenes for the contract of the layouts.

Label rasters and vectors, stacked files, patches and windows, numbers.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pyogrio
from numpy.typing import NDArray
from pyproj import Transformer
from rasterio import Affine
from shapely import Geometry, Point, box

from mlops_assets.testing.readers import ReaderCase, Truth
from mlops_assets_tests.datasets.readers.ground import BOUNDS, CLASSES
from mlops_assets_tests.datasets.readers.landing import write_raster

SIDE = 24
CRS = "EPSG:32630"
DEGREES = Transformer.from_crs(CRS, "EPSG:4326", always_xy=True)
# Rows and columns of labelled rectangles, the same in every scene, and the class of each
RECTANGLES = [(2, 3, 9, 12, 1), (12, 2, 20, 8, 2), (4, 14, 10, 22, 2), (15, 12, 22, 21, 1)]
PLACES = [
    (1, 1, 1),
    (3, 17, 2),
    (9, 9, 1),
    (12, 20, 2),
    (16, 4, 1),
    (20, 13, 2),
    (22, 22, 1),
    (6, 6, 2),
]


def day(number: int) -> datetime:
    return datetime(2020, 3, 1 + number, tzinfo=UTC)


def name(number: int) -> str:
    return f"site{number}_{day(number):%Y-%m-%d}"


def grid(number: int) -> Affine:
    return Affine(10, 0, 500_000 + 1000 * number, 0, -10, 4_700_000)


def pixels(number: int, bands: int, dtype: str) -> NDArray[Any]:
    return np.random.default_rng(number).integers(0, 200, (bands, SIDE, SIDE)).astype(dtype)


def noise(number: int) -> NDArray[np.uint8]:
    """Labels of two classes with holes, for label rasters."""
    return (
        np.random.default_rng(100 + number)
        .choice([0, 1, 2], (SIDE, SIDE), p=[0.7, 0.2, 0.1])
        .astype(np.uint8)
    )


def facts(array: NDArray[Any], number: int | None = None) -> dict[str, Any]:
    """Return the facts of a raster; `number` is that of a georeferenced scene."""
    found: dict[str, Any] = {
        "height": SIDE,
        "width": SIDE,
        "count": len(array),
        "dtype": array.dtype.name,
    }
    if number is not None:
        at = grid(number)
        bounds = DEGREES.transform_bounds(at.c, at.f - 10 * SIDE, at.c + 10 * SIDE, at.f)
        found |= {"crs": CRS, "transform": list(at)[:6], "bbox": list(bounds)}
    return found


def rectangle(number: int, top: int, left: int, bottom: int, right: int) -> Geometry:
    (x0, y0), (x1, y1) = grid(number) @ (left, top), grid(number) @ (right, bottom)
    return box(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))


def features(number: int, points: bool) -> tuple[list[Geometry], list[int], NDArray[np.int64]]:
    """Labelled polygons or points of a scene, their classes, and the pixels that they label."""
    burned = np.zeros((SIDE, SIDE), dtype=np.int64)
    if points:
        for row, column, value in PLACES:
            burned[row, column] = value
        at = [Point(*(grid(number) @ (column + 0.3, row + 0.6))) for row, column, _ in PLACES]
        return at, [value for *_, value in PLACES], burned
    for top, left, bottom, right, value in RECTANGLES:
        burned[top:bottom, left:right] = value
    return (
        [rectangle(number, *sides) for *sides, _ in RECTANGLES],
        [value for *_, value in RECTANGLES],
        burned,
    )


def with_rasters(
    georeferenced: bool, dtype: str, numbers: bool = False
) -> Callable[[Path, int], Truth]:
    """Return what lands scenes with a label raster each."""

    def land(folder: Path, count: int) -> Truth:
        found = Truth()
        for number in range(count):
            place = number if georeferenced else None
            profile = {"crs": CRS, "transform": grid(number)} if georeferenced else {}
            image, labels = pixels(number, 3, dtype), noise(number)
            known: NDArray[Any] = labels
            if numbers:
                known = np.where(labels == 0, np.nan, labels * 1.5 + image[0] / 100)
                labels = known.astype(np.float32)
            for kind, array, nodata in (("image", image, -99), ("labels", labels[None], None)):
                path = f"{kind}s/{name(number)}.tif".replace("labelss", "labels")
                write_raster(folder / path, array, nodata=nodata, **profile)
                found.files[path] = {"role": kind, "scene": name(number), **facts(array, place)}
            found.files[f"images/{name(number)}.tif"] |= {
                "part": 0,
                "nodata": -99.0,
                "datetime": day(number),
            }
            found.values[f"images/{name(number)}.tif"] = image
            found.labels[f"images/{name(number)}.tif"] = known
        return found

    return land


def write_vectors(path: Path, rows: geopandas.GeoDataFrame) -> None:
    """Write vector labels so that the same labels are the same bytes.

    Some formats keep when they were written.
    """
    path.unlink(missing_ok=True)
    then = {"DBF_DATE_LAST_UPDATE": "2020-01-01"} if path.suffix == ".shp" else {}
    pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": "2020-01-01T00:00:00Z"})
    try:
        rows.to_file(path, **then)
    finally:
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})


def with_vectors(
    file: str, points: bool = False, column: str = "crop", number: bool = False
) -> Any:
    """Return what lands scenes with vector labels.

    A file a scene with `*` for its name, or one file for all.
    """

    def land(folder: Path, count: int) -> Truth:
        found = Truth()
        rows: list[geopandas.GeoDataFrame] = []
        for scene in range(count):
            image = pixels(scene, 2, "uint16")
            path = f"{name(scene)}.tif"
            write_raster(folder / path, image, crs=CRS, transform=grid(scene))
            found.files[path] = {
                "role": "image",
                "scene": name(scene),
                "part": 0,
                **facts(image, scene),
            }
            geometry, values, burned = features(scene, points)
            found.values[path], found.labels[path] = image, burned
            labels: list[Any] = [CLASSES[value] for value in values]
            if number:
                labels = [value / 4 + scene for value in values]
                found.labels[path] = np.where(burned == 0, np.nan, burned / 4 + scene)
            elif file.endswith(".shp"):
                labels = values
            rows.append(geopandas.GeoDataFrame({column: labels}, geometry=geometry, crs=CRS))
            if "*" in file:
                own = file.replace("*", name(scene))
                write_vectors(folder / own, rows.pop().to_crs("EPSG:4326"))
                found.files[own] = {"role": "labels", "scene": name(scene)}
        if rows:
            together = geopandas.pd.concat(rows, ignore_index=True)
            write_vectors(folder / file, together)
            found.files[file] = {"role": "labels"}
            if file.endswith(".shp"):
                found.files |= {
                    file[:-3] + end: {"role": "sidecar"} for end in ("shx", "dbf", "prj", "cpg")
                }
        return found

    return land


def stacked(folder: Path, count: int) -> Truth:
    """Land scenes whose bands lie in files of their own, of different types."""
    found = Truth()
    for number in range(count):
        image, labels = pixels(number, 3, "uint8"), noise(number)
        paths = [f"{folder_of}/{name(number)}.tif" for folder_of in ("B04", "B08", "DEM")]
        bands = [image[0], image[1], image[2].astype(np.float32) / 4]
        for part, (path, band) in enumerate(zip(paths, bands, strict=True)):
            write_raster(folder / path, band, crs=CRS, transform=grid(number))
            found.files[path] = {
                "role": "image",
                "scene": name(number),
                "part": part,
                **facts(band[None], number),
            }
        write_raster(folder / f"labels/{name(number)}.tif", labels, crs=CRS, transform=grid(number))
        found.files[f"labels/{name(number)}.tif"] = {
            "role": "labels",
            "scene": name(number),
            **facts(labels[None], number),
        }
        found.values[paths[0]], found.labels[paths[0]] = np.stack(bands), labels
    return found


def envi(folder: Path, count: int) -> Truth:
    """Land raw images whose headers lie beside them, of the images and of the labels."""
    found = Truth()
    for number in range(count):
        image, labels = pixels(number, 2, "int16"), noise(number)
        for kind, array in (("images", image), ("labels", labels[None])):
            path = f"{kind}/{name(number)}.img"
            write_raster(folder / path, array)
            header = (folder / path).with_suffix(".hdr")
            # has the folder
            header.write_text(
                re.sub("description = .*?}\n", "", header.read_text(), flags=re.DOTALL)
            )
            found.files[path] = {
                "role": kind.replace("images", "image"),
                "scene": name(number),
                **facts(array),
            }
            found.files[f"{path[:-4]}.hdr"] = {"role": "sidecar", "scene": name(number)}
        found.files[f"images/{name(number)}.img"]["part"] = 0
        found.values[f"images/{name(number)}.img"], found.labels[f"images/{name(number)}.img"] = (
            image,
            labels,
        )
    return found


def scenes(**options: Any) -> dict[str, Any]:
    return {"layout": "scenes", "scenes": options}


def bands(count: int) -> list[str]:
    return [f"B{number:03d}" for number in range(1, count + 1)]


GROUND: dict[str, Any] = {"random": {}, "group": {}, "spatial_block": {"block": 70, "buffer": 15}}
PIXELS: dict[str, Any] = {"random": {}, "group": {}, "spatial_block": {"block": 8}}
DATE = "%Y-%m-%d"
BESIDE: Sequence[Any] = ("*.tif", "*.geojson")
SCENES = [
    ReaderCase(
        "patches of rasters",
        scenes(size=3, date=DATE),
        with_rasters(True, "int16"),
        "patch",
        GROUND,
        bands(3),
        CLASSES,
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "windows of rasters",
        scenes(size=8, read="windows", date=DATE),
        with_rasters(False, "float32"),
        "window",
        PIXELS,
        bands(3),
        CLASSES,
        timed=True,
    ),
    ReaderCase(
        "numbers of rasters",
        scenes(size=1, label_is="number", date=DATE),
        with_rasters(True, "int32", numbers=True),
        "patch",
        GROUND,
        bands(3),
        bounds=BOUNDS,
        timed=True,
    ),
    ReaderCase(
        "patches of polygons",
        scenes(images="*.tif", labels="*.geojson", label_column="crop", size=5),
        with_vectors("*.geojson"),
        "patch",
        GROUND,
        bands(2),
        CLASSES,
        bounds=BOUNDS,
    ),
    ReaderCase(
        "windows of polygons",
        scenes(images="*.tif", labels="*.gpkg", label_column="crop", size=6, read="windows"),
        with_vectors("*.gpkg"),
        "window",
        GROUND,
        bands(2),
        CLASSES,
        bounds=BOUNDS,
    ),
    ReaderCase(
        "windows of one GeoPackage",
        scenes(images="*.tif", labels="all.gpkg", label_column="crop", size=8, read="windows"),
        with_vectors("all.gpkg"),
        "window",
        GROUND,
        bands(2),
        CLASSES,
        bounds=BOUNDS,
    ),
    ReaderCase(
        "patches of a Shapefile",
        scenes(images="*.tif", labels="all.shp", label_column="crop", size=3),
        with_vectors("all.shp"),
        "patch",
        GROUND,
        bands(2),
        CLASSES,
        bounds=BOUNDS,
    ),
    ReaderCase(
        "patches of points",
        scenes(images="*.tif", labels="points.gpkg", label_column="crop", size=3),
        with_vectors("points.gpkg", points=True),
        "patch",
        {"random": {}, "group": {}},
        bands(2),
        CLASSES,
        bounds=BOUNDS,
    ),
    ReaderCase(
        "numbers of points",
        scenes(
            images="*.tif", labels="*.geojson", label_column="height", size=1, label_is="number"
        ),
        with_vectors("*.geojson", points=True, column="height", number=True),
        "patch",
        {"random": {}, "group": {}},
        bands(2),
        bounds=BOUNDS,
    ),
    ReaderCase(
        "raw files with headers",
        scenes(images="images/*.img", labels="labels/*.img", size=3),
        envi,
        "patch",
        PIXELS,
        bands(2),
        CLASSES,
    ),
    ReaderCase(
        "stacked files",
        scenes(images=["B04/*.tif", "B08/*.tif", "DEM/*.tif"], size=3),
        stacked,
        "patch",
        GROUND,
        ["B04", "B08", "DEM"],
        CLASSES,
        bounds=BOUNDS,
    ),
]
