"""Scenes are paired, checked by pixel, and read as the patches of a plain numpy reference."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from affine import Affine
from hypothesis import given, settings
from hypothesis import strategies as st
from rasterio.control import GroundControlPoint

from mlops_assets.datasets.io import rasters
from mlops_assets.datasets.io.rasters import open_raster
from mlops_assets.datasets.readers.scenes.raster_labels import RasterLabels
from mlops_assets.datasets.readers.scenes.read_samples import read_patches, read_windows
from mlops_assets.datasets.specification.dataset import DatasetSpecification
from mlops_assets.datasets.specification.source import Sampling
from mlops_assets.datasets.versions.contents import Contents
from mlops_assets.datasets.versions.sample_shape import PatchShape, WindowShape
from mlops_assets.testing.reader_assertions import mirrored
from mlops_assets.testing.reader_cases import read_landing
from mlops_assets_tests.conftest import scenes_specification, write_scene
from mlops_assets_tests.datasets.readers.landing import UTM, write_raster

Read = Callable[..., Contents]


def declared(**changes: Any) -> DatasetSpecification:
    """Scenes with the given options of the layout; other attributes by name."""
    attributes = {key: changes.pop(key) for key in ("bands", "classes") if key in changes}
    source = {"url": "landing", "layout": "scenes", "scenes": {"size": 3} | changes}
    return scenes_specification(source=source, **attributes)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "landing"


@pytest.fixture
def read(landing: Path) -> Read:
    return lambda specification=None: read_landing(landing, specification or declared())


def paths(contents: Contents) -> list[str]:
    return contents.files["path"].tolist()


# what is found


def test_every_labelled_pixel_of_a_pair_is_a_sample(landing: Path, read: Read) -> None:
    labels = write_scene(landing, size=12)
    found = read()
    assert paths(found) == ["images/a.tif", "labels/a.tif"]
    assert (found.features, found.input) == (
        ["B001", "B002", "B003", "B004"],
        PatchShape(size=3),
    )
    rows, columns = np.nonzero(labels)
    assert (
        found.samples[["row", "column"]].to_numpy().tolist()
        == np.stack([rows, columns], axis=1).tolist()
    )
    assert found.samples["label"].tolist() == [str(value) for value in labels[rows, columns]]
    assert set(found.samples["path"]) == {"images/a.tif"}


@pytest.mark.parametrize(("unlabelled", "count"), [(0, "labelled"), (None, "all")])
def test_unlabelled_pixels_are_left_out_unless_every_value_is_a_class(
    landing: Path, read: Read, unlabelled: int | None, count: str
) -> None:
    labels = write_scene(landing, size=12)
    classes = {1: "water", 2: "land"} | ({0: "other"} if unlabelled is None else {})
    found = read(declared(unlabelled=unlabelled, classes=classes))
    assert len(found.samples) == {"labelled": np.count_nonzero(labels), "all": labels.size}[count]


def test_windows_are_whole_and_hold_a_labelled_pixel(landing: Path, read: Read) -> None:
    labels = np.zeros((10, 11), dtype=np.uint8)
    labels[5, 3] = labels[9, 9] = 1
    write_raster(landing / "images/a.tif", np.ones((2, 10, 11), dtype=np.uint8))
    write_raster(landing / "labels/a.tif", labels[None])
    found = read(declared(read="windows", size=4))
    assert found.samples[["row", "column"]].to_numpy().tolist() == [[4, 0]]
    assert found.samples["label"].isna().all()
    assert found.input == WindowShape(size=4)


def test_declared_patterns_and_band_names_are_used(landing: Path, read: Read) -> None:
    write_scene(landing, size=12, bands=2)
    (landing / "images" / "a.tif").rename(landing / "S2_a_B.tif")
    (landing / "labels" / "a.tif").rename(landing / "gt-a.tif")
    found = read(declared(images="S2_*_B.tif", labels="gt-*.tif", bands={"names": ["red", "nir"]}))
    assert (paths(found), found.features) == (["S2_a_B.tif", "gt-a.tif"], ["red", "nir"])


def test_band_names_come_from_the_file_if_it_has_any(landing: Path, read: Read) -> None:
    write_scene(landing, size=12, bands=2)
    with open_raster(landing / "images" / "a.tif", "r+") as raster:
        raster.descriptions = ("red", None)
    assert read().features == ["red", "B002"]


def test_the_georeference_is_carried(landing: Path, read: Read) -> None:
    for folder in ("images", "labels"):
        write_raster(landing / folder / "a.tif", np.ones((1, 48, 48), dtype=np.uint8), **UTM)
    found = read()
    fact = found.files.iloc[0]
    assert fact["crs"] == "EPSG:32630"
    assert fact["transform"] == [10, 0, 500_000, 0, -10, 4_700_000]
    west, south, east, north = fact["bbox"]
    assert found.samples["longitude"].between(west, east).all()
    assert found.samples["latitude"].between(south, north).all()
    assert west == pytest.approx(-3, abs=1e-6)  # easting 500 km is the central meridian of zone 30
    assert east - west == pytest.approx(480 / (111_320 * np.cos(np.radians(42.45))), rel=0.01)
    assert north - south == pytest.approx(480 / 111_100, rel=0.01)
    assert 42.4 < south < north < 42.5


def test_no_georeference_is_made_up(landing: Path, read: Read) -> None:
    write_scene(landing, size=12)
    found = read()
    fact = found.files.iloc[0]
    assert fact[["crs", "transform", "bbox", "datetime", "nodata"]].isna().all()
    assert fact[["height", "width", "count", "dtype"]].tolist() == [12, 12, 4, "uint16"]
    assert found.samples[["longitude", "latitude", "time"]].isna().all(axis=None)


# patches and windows


SITE = 'LOCAL_CS["drone site grid", UNIT["metre",1]]'
MOON = (
    'GEOGCS["Moon'
    ' 2000",DATUM["D_Moon_2000",SPHEROID["Moon_2000_IAU_IAG",1737400,0]],PRIMEM["Greenwich",0],'
    'UNIT["degree",0.0174532925199433]]'
)
DISK = "+proj=geos +h=35785831 +lon_0=0 +sweep=y +ellps=WGS84 +units=m"
CORNERS = [(0, 0, 10, 50), (0, 12, 11, 50), (12, 0, 10, 49), (12, 12, 11, 49)]


@pytest.mark.parametrize(
    ("profile", "crs", "bbox"),
    [
        ({"crs": "EPSG:4326"}, False, None),
        ({"crs": UTM["crs"]}, False, None),
        ({"crs": "EPSG:4326", "gcps": CORNERS}, False, [10, 49, 11, 50]),
        ({"crs": SITE, "transform": Affine(1, 0, 5, 0, -1, 9)}, True, None),
        ({"crs": MOON, "transform": Affine(1, 0, 5, 0, -1, 9)}, True, None),
        ({"crs": DISK, "transform": Affine(1e6, 0, -6e6, 0, -1e6, 6e6)}, True, [-78, -78, 78, 78]),
        (
            {"crs": "EPSG:4326", "transform": Affine(30, 0, 0, 0, -15, 90)},
            True,
            [-180, -90, 180, 90],
        ),
        (
            {"crs": "EPSG:4326", "transform": Affine(1, 0, 200, 0, -1, 40)},
            True,
            [-160, 28, -148, 40],
        ),
        (
            {"crs": "EPSG:4326", "transform": Affine(0.1, 0, 178.85, 0, -0.1, 90.05)},
            True,
            [178.85, 88.85, -179.95, 90],
        ),
    ],
    ids=[
        "no transform",
        "no transform in metres",
        "control points",
        "site",
        "Moon",
        "disk",
        "0...360",
        "200",
        "edges",
    ],
)
def test_places_are_on_earth_or_unknown(
    landing: Path, read: Read, profile: dict[str, Any], crs: bool, bbox: list[float] | None
) -> None:
    if "gcps" in profile:
        profile = profile | {"gcps": [GroundControlPoint(*corner) for corner in profile["gcps"]]}
    write_raster(landing / "images/a.tif", np.ones((4, 12, 12), dtype=np.uint16), **profile)
    write_raster(landing / "labels/a.tif", np.ones((1, 12, 12), dtype=np.uint8))
    found = read()
    image = found.files.set_index("path").loc["images/a.tif"]
    assert (isinstance(image["crs"], str), image["transform"] is not None) == (crs, crs)
    places = found.samples[["longitude", "latitude"]].astype(float)
    if bbox is None:
        assert image["bbox"] is None
        assert places.isna().all(axis=None)
        return
    assert image["bbox"] == pytest.approx(bbox, abs=3 if "geos" in profile["crs"] else 1e-6)
    # the corners of the disk are beyond the Earth
    assert places.isna().any(axis=None) == ("geos" in profile["crs"])
    assert places.abs().max().le([180, 90]).all()
    west, south, east, north = image["bbox"]
    known = places.dropna()
    assert known["latitude"].between(south, north).all()
    assert (
        (known["longitude"] - west) % 360 <= (east - west) % 360 + 1e-9
    ).all() or east - west == 360


@pytest.mark.parametrize("strip", [1, 2, 5, 7, 256])
@pytest.mark.parametrize("size", [1, 3, 9])
def test_patches_are_those_of_a_mirrored_scene_at_edges_and_across_strips(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, strip: int, size: int
) -> None:
    monkeypatch.setattr(rasters, "STRIP_ROWS", strip)
    image = np.random.default_rng(0).integers(0, 60_000, (3, 17, 11)).astype(np.uint16)
    write_raster(tmp_path / "a.tif", image)
    # every pixel, in no order
    centres = np.random.default_rng(1).permutation(np.argwhere(np.ones((17, 11))))
    found = read_patches(tmp_path / "a.tif", centres, size)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, mirrored(image, centres, size))


@settings(deadline=None, derandomize=True, database=None, max_examples=40)
@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    half=st.integers(0, 8),
    strip=st.integers(1, 13),
)
def test_patches_larger_than_the_scene_are_mirrored_again(
    tmp_path_factory: pytest.TempPathFactory, height: int, width: int, half: int, strip: int
) -> None:
    path = tmp_path_factory.mktemp("scene") / "a.tif"
    image = np.arange(height * width, dtype=np.int32).reshape(1, height, width)
    write_raster(path, image)
    centres = np.argwhere(np.ones((height, width)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rasters, "STRIP_ROWS", strip)
        found = read_patches(path, centres, 2 * half + 1)
    np.testing.assert_array_equal(found, mirrored(image, centres, 2 * half + 1))


def test_windows_are_cut_out_as_they_are(tmp_path: Path) -> None:
    image = np.arange(2 * 8 * 10, dtype=np.float32).reshape(2, 8, 10)
    write_raster(tmp_path / "a.tif", image)
    found = read_windows(tmp_path / "a.tif", np.array([[4, 5], [0, 0]]), 4)
    np.testing.assert_array_equal(found, np.stack([image[:, 4:8, 5:9], image[:, :4, :4]]))
    assert found.dtype == np.float32


def test_a_label_raster_keeps_negative_and_large_values(tmp_path: Path) -> None:
    labels = np.array([[[-1, 0], [70_000, 2]]], dtype=np.int32)
    write_raster(tmp_path / "a.tif", labels)
    with open_raster(tmp_path / "a.tif") as raster:
        np.testing.assert_array_equal(RasterLabels(raster, Sampling()).rows(0, 2), labels[0])


@pytest.mark.parametrize(
    "dtype",
    [
        "uint8",
        "int8",
        "uint16",
        "int16",
        "uint32",
        "int32",
        "uint64",
        "int64",
        "float32",
        "float64",
    ],
)
def test_pixels_of_every_type_are_read_in_that_type(landing: Path, read: Read, dtype: str) -> None:
    image = (np.arange(2 * 12 * 12).reshape(2, 12, 12) % 100).astype(dtype)
    write_raster(landing / "labels/a.tif", np.ones((1, 12, 12), dtype=np.uint8))
    write_raster(landing / "images/a.tif", image)
    assert read().files["dtype"].tolist() == [dtype, "uint8"]
    centres = np.array([[0, 0], [5, 6]])
    np.testing.assert_array_equal(
        read_patches(landing / "images/a.tif", centres, 3), mirrored(image, centres, 3), strict=True
    )
    np.testing.assert_array_equal(
        read_windows(landing / "images/a.tif", centres, 4),
        np.stack([image[:, :4, :4], image[:, 5:9, 6:10]]),
        strict=True,
    )
