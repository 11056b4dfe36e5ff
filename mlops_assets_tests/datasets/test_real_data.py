"""Data that people really have.

Landsat bands with a Shapefile, Sentinel-2 of two dates, a catalogue of labels.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pandas as pd
import pytest
from rasterio import Affine

from mlops_assets.datasets.commit.commit import commit
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.readers import LAYOUTS
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.versions.committed_dataset import CommittedDataset
from mlops_assets.errors import DataProblems
from mlops_assets.names import Reference
from mlops_assets.store import Store
from mlops_assets_tests.conftest import require_shared_data
from mlops_assets_tests.datasets.readers.landing import write_raster

NC = {
    1: "developed",
    2: "agriculture",
    3: "herbaceous",
    4: "shrubland",
    5: "forest",
    6: "water",
    7: "sediment",
}
BANDS = (10, 20, 30, 40, 50, 70)
HALVES = {"train": 0.5, "test": 0.5}


def committed(
    store: Store, source: dict[str, Any], split: dict[str, Any], **changes: Any
) -> CommittedDataset:
    declared = {
        "name": "real",
        "source": source,
        "split": {"fractions": HALVES, **split},
        **changes,
    }
    commit(store.workspace, store.registry, DatasetSpecification.model_validate(declared))
    return CommittedDataset.open(store.workspace, store.registry, Reference("real"))


def read(
    data: CommittedDataset, path: str, places: pd.DataFrame, view: str
) -> np.ndarray[Any, Any]:
    return LAYOUTS[data.layout].read(
        data,
        path,
        places.to_numpy(dtype=np.int64),
        view,  # type: ignore[arg-type]
    )


# Landsat 7, North Carolina: six files a scene, of two types and nodata values; labels in another
# datum


def north_carolina(store: Store, labels: str, **options: Any) -> CommittedDataset:
    folder = require_shared_data("nc_landsat7")
    source = {
        "url": str(folder),
        "layout": "scenes",
        "scenes": {
            "images": [f"lsat7_*_{band}.tif" for band in BANDS],
            "labels": labels,
            **options,
        },
    }
    return committed(store, source, {"method": "random"}, classes=NC)


def test_stacked_landsat_bands_are_read_as_another_tool_read_them(store: Store) -> None:
    data = north_carolina(store, "landsat96_polygons.shp")
    assert data.document.features == [f"lsat7_{band}" for band in BANDS]
    assert data.manifest["role"].value_counts().to_dict() == {"image": 6, "sidecar": 3, "labels": 1}
    images = data.manifest[data.manifest["role"] == "image"].sort_values("part")
    assert images["dtype"].tolist() == ["float32"] * 5 + ["int16"]
    assert images["nodata"].tolist() == [-99999.0] * 5 + [-32768.0]
    assert set(images["crs"]) == {"EPSG:32119"}
    columns = ["col", "row", "id", "b1", "b2", "b3", "b4", "b5", "b7"]
    path = require_shared_data("nc_landsat7", "extracted_pixels.txt")
    known = pd.read_csv(path, sep=" ", skiprows=1, names=columns)
    known["row"], known["col"] = known["row"] - 15, known["col"] - 20  # counted in a larger image
    ours = data.samples.merge(
        known, left_on=["row", "column"], right_on=["row", "col"], suffixes=("", "_there")
    )
    # it took every pixel that a polygon touches, we those whose centre lies in one
    assert len(ours) > 1900
    assert (ours["label"] == ours["id"].astype(str)).all()
    pixels = read(data, "lsat7_2000_10.tif", ours[["row", "column"]], "pixel")
    np.testing.assert_array_equal(
        pixels, ours[["b1", "b2", "b3", "b4", "b5", "b7"]].to_numpy(dtype=np.float32)
    )


def test_every_class_and_place_of_the_landsat_polygons_is_there(store: Store) -> None:
    data = north_carolina(store, "landsat96_polygons.shp", size=5)
    areas = geopandas.read_file(require_shared_data("nc_landsat7", "landsat96_polygons.shp"))
    expected = areas.dissolve("label").area / 28.5**2
    counts = data.samples["label"].map(lambda value: NC[int(value)]).value_counts()
    assert counts.sort_index().to_dict() == pytest.approx(expected.to_dict(), rel=0.1, abs=10)
    assert data.samples["longitude"].between(-78.8, -78.5).all()  # Raleigh
    assert data.samples["latitude"].between(35.6, 35.9).all()
    patches = read(data, "lsat7_2000_10.tif", data.samples[["row", "column"]][:50], "patch")
    assert (patches.shape, patches.dtype) == ((50, 6, 5, 5), np.float32)


def test_landsat_points_are_the_pixels_they_lie_in(store: Store) -> None:
    folder = require_shared_data("nc_landsat7")
    data = north_carolina(store, "landsat96_points.shp")
    points = geopandas.read_file(folder / "landsat96_points.shp").to_crs("EPSG:32119")
    with open_raster(folder / "lsat7_2000_10.tif") as raster:
        grid = [raster.index(point.x, point.y) for point in points.geometry]
    by_place = (
        pd.DataFrame({"place": grid, "label": points["label"]}).groupby("place")["label"].unique()
    )
    expected = {
        (row, column): labels[0]
        for (row, column), labels in zip(by_place.index, by_place, strict=True)
        if len(labels) == 1 and 0 <= row < 443 and 0 <= column < 489  # some lie beyond the scene
    }
    assert len(expected) > 800
    found = {
        (row, column): NC[int(value)]
        for row, column, value in data.samples[["row", "column", "label"]].itertuples(index=False)
    }
    assert found == expected


def test_labels_of_whole_numbers_written_as_floats_are_refused(store: Store) -> None:
    with pytest.raises(
        DataProblems,
        match=r"landsat96_labelled_pixels\.tif: has 1 band\(s\) of float32; labels are",
    ):
        north_carolina(store, "landsat96_labelled_pixels.tif")


# Sentinel-2, Boadella reservoir: two dates, labels as a labelling tool writes them

BOADELLA = "eotdl_sentinel2_boadella/sentinel_2"


def boadella(store: Store) -> Path:
    folder = store.workspace.root / "landing" / "boadella"
    shutil.copytree(require_shared_data(BOADELLA), folder)
    return folder


def boadella_source(**options: Any) -> dict[str, Any]:
    layout = {
        "images": "*.tif",
        "labels": "*_labels.geojson",
        "label_column": "labels",
        "date": "%Y-%m-%d",
        **options,
    }
    return {"url": "landing/boadella", "layout": "scenes", "scenes": layout}


def test_labels_of_another_date_than_the_image_are_named(store: Store) -> None:
    boadella(store)
    with pytest.raises(DataProblems) as raised:
        committed(store, boadella_source(), {"method": "temporal"}, classes={1: "water"})
    assert raised.value.problems == [
        (
            "Boadella_2020-01-28.tif: has no labels Boadella_2020-01-28_labels.geojson; add them or"
            " remove the image"
        ),
        (
            "Boadella_2020-02-02_labels.geojson: has no image Boadella_2020-02-02.tif; add it or"
            " remove the labels"
        ),
    ]


def mended(store: Store) -> Path:
    folder = boadella(store)
    (folder / "Boadella_2020-02-02_labels.geojson").rename(
        folder / "Boadella_2020-01-28_labels.geojson"
    )
    return folder


@pytest.mark.parametrize(
    "reading", [{"size": 1}, {"read": "windows", "size": 16}], ids=["patches", "windows"]
)
def test_two_dates_of_one_place(store: Store, reading: dict[str, Any]) -> None:
    folder = mended(store)
    data = committed(
        store, boadella_source(**reading), {"method": "temporal"}, classes={1: "water"}
    )
    samples = data.samples
    assert samples.groupby("path")["split"].unique().map(list).to_dict() == {
        "Boadella_2020-01-13.tif": ["train"],
        "Boadella_2020-01-28.tif": ["test"],
    }
    assert samples.groupby("path")["time"].first().tolist() == [
        pd.Timestamp(2020, 1, 13, tz="UTC"),
        pd.Timestamp(2020, 1, 28, tz="UTC"),
    ]
    images = data.manifest[data.manifest["role"] == "image"]
    assert images["count"].tolist() == [12, 12]
    west, south, east, north = images["bbox"].iloc[0]
    assert (west, south, east, north) == pytest.approx(
        (2.79203, 42.33058, 2.83802, 42.36457), abs=1e-5
    )
    for path in images["path"]:
        with open_raster(folder / path) as raster:
            whole = raster.read()
        places = samples.loc[samples["path"] == path, ["row", "column"]][:40]
        view = "window" if "read" in reading else "pixel"
        for found, (row, column) in zip(
            read(data, path, places, view), places.to_numpy(), strict=True
        ):
            side = slice(row, row + 16), slice(column, column + 16)
            np.testing.assert_array_equal(
                found, whole[:, *side] if view == "window" else whole[:, row, column]
            )


def test_one_place_is_in_one_split_at_both_dates(store: Store) -> None:
    mended(store)
    how = {
        "method": "spatial_block",
        "block": 500,
        "buffer": 50,
        "fractions": {"train": 0.5, "test": 0.5},
    }
    samples = committed(store, boadella_source(), how, classes={1: "water"}).samples
    both = (
        samples.assign(split=samples["split"].fillna("left out"))
        .groupby(["row", "column"])["split"]
        .agg(["nunique", "size"])
    )
    assert (both["size"] == 2).sum() > 1000  # water at both dates
    assert (both["nunique"] == 1).all()


def test_the_water_of_the_reservoir_is_where_its_polygon_is(store: Store) -> None:
    folder = mended(store)
    data = committed(store, boadella_source(), {"method": "temporal"}, classes={1: "water"})
    first = data.samples[data.samples["path"] == "Boadella_2020-01-13.tif"]
    outline = geopandas.read_file(folder / "Boadella_2020-01-13_labels.geojson")
    (water,) = outline.geometry
    places = geopandas.GeoSeries.from_xy(first["longitude"], first["latitude"])
    assert places.within(water.buffer(1e-6)).all()
    with open_raster(folder / "Boadella_2020-01-13.tif") as raster:
        pixel = raster.transform.a * -raster.transform.e
    assert len(first) == pytest.approx(water.area / pixel, rel=0.01)


# a catalogue of labels whose Items have the ids of the images they label, and lie in another
# collection

JACA = "eotdl_sentinel2_boadella"


@pytest.fixture
def jaca(store: Store) -> Path:
    """The catalogue, with images made up on the grid that its Items declare."""
    folder = store.workspace.root / "landing" / "jaca"
    for part in ("jaca_dataset_stac_labels", "labels_scaneo"):
        shutil.copytree(require_shared_data(JACA, part), folder / part)
    for number in range(1, 5):
        path = folder / f"jaca_dataset_stac_labels/sentinel-2-l2a/Jaca_{number}/Jaca_{number}.json"
        declared = json.loads(path.read_text())["properties"]
        pixels = (
            np.random.default_rng(number)
            .integers(0, 4000, (12, *declared["proj:shape"]))
            .astype(np.int16)
        )
        grid = Affine(*declared["proj:transform"][:6])
        write_raster(
            folder / f"jaca_dataset/Jaca_{number}.tif",
            pixels,
            crs="EPSG:4326",
            transform=_upright(grid),
        )
    return folder


def _upright(grid: Affine) -> Affine:
    """The catalogue has the transform as a, b, c, d, e, f."""
    return Affine(grid.a, 0.0, grid.c, 0.0, grid.e, grid.f)


def jaca_source(images: Sequence[str] = ("{id}",), **options: Any) -> dict[str, Any]:
    catalog = "jaca_dataset_stac_labels/catalog.json"
    stac = {"catalog": catalog, "images": list(images), "label_column": "labels", **options}
    return {"url": "landing/jaca", "layout": "stac", "stac": stac}


@pytest.mark.parametrize("assets", ["copy", "reference"])
def test_a_catalogue_whose_label_items_link_to_image_items(
    store: Store, jaca: Path, assets: str
) -> None:
    source = jaca_source(read="windows", size=4, assets=assets)
    data = committed(store, source, {"method": "group", "seed": 3}, classes={1: "grass"})
    images = data.manifest[data.manifest["role"] == "image"].set_index("path")
    assert images.index.tolist() == [f"jaca_dataset/Jaca_{n}.tif" for n in range(1, 5)]
    assert images["scene"].tolist() == [f"Jaca_{n}" for n in range(1, 5)]
    labels = data.manifest[data.manifest["role"] == "labels"].set_index("scene")["path"].to_dict()
    assert labels == {f"Jaca_{n}": f"labels_scaneo/Jaca_{n}_labels.geojson" for n in range(1, 5)}
    assert images["datetime"].iloc[0] == datetime(2020, 1, 9, tzinfo=UTC)
    assert data.samples["time"].nunique() == 4
    for path, samples in data.samples.groupby("path"):
        places = samples[["row", "column"]].to_numpy(dtype=np.int64)
        windows = LAYOUTS["stac"].read_labels(data, str(path), places)
        assert set(np.unique(windows)) == {0, 1}
        areas = geopandas.read_file(jaca / labels[str(path)[13:-4]])
        with open_raster(jaca / str(path)) as raster:
            pixel = raster.transform.a * -raster.transform.e
        area = areas.union_all().area / pixel
        assert windows.sum() == pytest.approx(area, rel=0.15)


def test_the_images_that_a_catalogue_only_names_are_all_told(store: Store, jaca: Path) -> None:
    shutil.rmtree(jaca / "jaca_dataset")
    with pytest.raises(DataProblems) as raised:
        committed(store, jaca_source(), {"method": "group"}, classes={1: "grass"})
    assert raised.value.problems == [
        f"Item Jaca_{n}: asset 'Jaca_{n}' at '../../../jaca_dataset/Jaca_{n}.tif' is missing;"
        " correct the href or land the file"
        for n in range(1, 5)
    ]
